//! `audit verify|trial-balance|explain`: from the raw log alone, beside whoever writes it. No read model is asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use domain::audit::{Audit as Books, Finding};
use domain::decider::Decider as _;
use domain::event::Event;
use domain::ids::{OperatorId, SessionId};
use domain::journal::{Account, AdoptedRules, POSTED, business_date, postings};
use domain::log::{Filter, Position, Recorded, StreamId};
use domain::operator::Operator;
use domain::payment::Channel;
use domain::pricing::explain;
use domain::session::{Session, SessionEvent};
use domain::station::StationEvent;
use domain::units::Money;
use sandbox::{Behaviour, SandboxChannel};
use serde_json::{Value, json};

use crate::cli::Audit;
use crate::compose::SANDBOX;
use crate::config::Config;
use crate::output::{Answer, grouped, wrong_usage};
use crate::progress::Meter;
use crate::raw_log::RawLog;

pub(crate) async fn run(config: &Config, what: &Audit) -> anyhow::Result<Answer> {
    let log = RawLog::open(config).await?;
    match what.clone() {
        Audit::Verify => tokio::task::spawn_blocking(move || verify(&log)).await?,
        Audit::TrialBalance { operator, as_of, recorded_as_of } => {
            let as_of = match as_of.as_deref().map(|text| (text, text.parse())) {
                Some((text, Err(_))) => wrong_usage!("\"{text}\" is not a date like 2026-03-01"),
                Some((_, Ok(day))) => Some(day),
                None => None,
            };
            tokio::task::spawn_blocking(move || {
                let mut reader = log.reader()?;
                let until = recorded_as_of.map(|time| reader.position_at(time)).transpose()?;
                trial_balance(&log, operator, as_of, until)
            })
            .await?
        }
        Audit::Explain { session } => tokio::task::spawn_blocking(move || explain_session(&log, &session)).await?,
    }
}

/// What a look at everything found.
pub(crate) struct Verdict {
    /// Events looked at.
    pub(crate) events: u64,
    /// Streams whose chains were followed.
    pub(crate) streams: u64,
    /// The books, summed again.
    pub(crate) books: Books,
    /// Everything that does not agree.
    pub(crate) findings: Vec<Finding>,
    /// Where the hashes stopped fitting, and the head: what lies between the two has not been checked against its hashes.
    pub(crate) stopped_at: Option<(Position, Position)>,
}

/// Every hash, every entry, and the sums that must agree.
pub(crate) fn look_at_everything(log: &RawLog) -> anyhow::Result<Verdict> {
    // The channel first: what it has given back since then is not yet in its statement, and so not missed.
    let statement = sandbox_balance(log.directory())?;
    let mut reader = log.reader()?;
    let meter = Meter::start("chains", 0);
    let chains = reader.verify(|progress| meter.set(progress.done, progress.total))?;
    drop(meter);
    let meter = Meter::start("books", chains.head.0);
    let mut books = Books::default();
    for stretch in log.replay(&Filter::All, |page| {
        let scanned = page.scanned_to;
        (scanned, page.events.into_iter().map(|stored| (stored.position, stored.decode())).collect::<Vec<_>>())
    })? {
        let (scanned, events) = stretch?;
        for (position, decoded) in events {
            match decoded {
                Ok(recorded) => books.observe(&recorded),
                Err(error) => books.note(Finding { position: Some(position), what: error.to_string() }),
            }
        }
        meter.set(scanned.0, chains.head.0);
    }
    drop(meter);
    let mut findings = books.findings();
    let stopped_at = chains.fault.as_ref().map(|fault| (fault.position, chains.head));
    if let Some(fault) = chains.fault {
        findings.insert(0, Finding { position: Some(fault.position), what: fault.reason });
    }
    if let Some(statement) = statement {
        let ours = books.at_channel(Channel::Sandbox);
        let again = sandbox_balance(log.directory())?.unwrap_or_default();
        // Beside a running server the channel moves on; the books must lie between its two statements.
        if ours < statement.min(again) || ours > statement.max(again) {
            findings.push(Finding {
                position: None,
                what: format!("account 1012.sandbox stands at {ours}; the channel's own statement says {again}"),
            });
        }
    }
    Ok(Verdict { events: chains.events, streams: chains.streams, books, findings, stopped_at })
}

fn verify(log: &RawLog) -> anyhow::Result<Answer> {
    let Verdict { events, streams, books, findings, stopped_at } = look_at_everything(log)?;
    let totals = books.totals();
    let is_fine = findings.is_empty();
    let json = json!({
        "audit": if is_fine { "ok" } else { "failed" },
        "events": events,
        "streams": streams,
        "stopped_at": stopped_at.map(|(position, _)| position),
        "entries": totals.entries,
        "trial_balance": { "debit": totals.debit, "credit": totals.credit },
        "findings": findings.iter().map(|finding| json!({ "position": finding.position, "what": finding.what })).collect::<Vec<_>>(),
    });
    let mut text = format!(
        "{}\n{} entries: debits {}, credits {}\n",
        how_far(events, streams, stopped_at),
        grouped(totals.entries),
        totals.debit,
        totals.credit,
    );
    if is_fine {
        text.push_str(
            "2205 agrees with prepayments and wallets, 1122 with open bills, 2202 with the owners' parts of bills, \
             2241 with money that belongs to nothing, 1012 with payments, refunds and the sandbox's statement\nok",
        );
    } else {
        findings.iter().for_each(|finding| text.push_str(&format!("{finding}\n")));
        text.push_str(&counted(findings.len()));
    }
    Ok(Answer { json, text, is_fine })
}

/// A log that is damaged is not said to have been checked to its end.
fn how_far(events: u64, streams: u64, stopped_at: Option<(Position, Position)>) -> String {
    match stopped_at {
        None => format!("{} events in {} streams: every hash computed again, every event read", grouped(events), grouped(streams)),
        Some((position, head)) => {
            format!(
                "stopped at {} of {}: the hashes after it were not computed; every event was read",
                grouped(position.0),
                grouped(head.0)
            )
        }
    }
}

fn counted(findings: usize) -> String {
    if findings == 1 { "1 finding".to_owned() } else { format!("{findings} findings") }
}

/// What the sandbox says it holds for us; none when there is no sandbox here.
fn sandbox_balance(directory: &Path) -> anyhow::Result<Option<Money>> {
    let path: PathBuf = directory.join(SANDBOX);
    if !path.exists() {
        return Ok(None);
    }
    let (channel, _) = SandboxChannel::open(&path, Behaviour::Prompt, false).context("the sandbox's books")?;
    Ok(Some(channel.statement()?.balance()))
}

#[derive(Default)]
struct Column {
    debit: Money,
    credit: Money,
}

fn trial_balance(
    log: &RawLog,
    operator: Option<OperatorId>,
    as_of: Option<jiff::civil::Date>,
    until: Option<Position>,
) -> anyhow::Result<Answer> {
    let mut rules = AdoptedRules::default();
    let mut operators: BTreeMap<OperatorId, Operator> = BTreeMap::new();
    let mut accounts: BTreeMap<String, (Account, Column)> = BTreeMap::new();
    let mut owners: BTreeMap<OperatorId, String> = BTreeMap::new();
    let types = POSTED.into_iter().chain([
        "journal.rules_adopted",
        "operator.registered",
        "operator.changed",
        "operator.closed",
        "station.ownership_changed",
    ]);
    for event in events_of(log, &Filter::types(types))? {
        let recorded = event?;
        if until.is_some_and(|until| recorded.position > until) {
            break;
        }
        rules.apply(&recorded)?;
        let operator_id = recorded.metadata.operator_id;
        if let Event::Station(StationEvent::OwnershipChanged { ownership: Some(ownership), .. }) = &recorded.event {
            owners.insert(ownership.owner_id, ownership.owner_name.clone());
            continue;
        }
        if Operator::event(&recorded.event).is_some() {
            let known = operators.remove(&operator_id).unwrap_or_default();
            operators.insert(operator_id, known.apply(&recorded));
            continue;
        }
        if operator.is_some_and(|operator| operator != operator_id) {
            continue;
        }
        if let Some(as_of) = as_of {
            let Some(zone) = operators.get(&operator_id).and_then(Operator::books_zone) else { continue };
            if business_date(recorded.metadata.occurred_at, zone) > as_of {
                continue;
            }
        }
        let Some(entry) = postings(&recorded, rules.at(operator_id, recorded.position))? else { continue };
        for posting in entry.postings() {
            let (_, column) = accounts.entry(ledger_account(posting.account)).or_insert_with(|| (posting.account, Column::default()));
            column.debit += posting.debited();
            column.credit += posting.credited();
        }
    }
    let debit: Money = accounts.values().map(|(_, column)| column.debit).sum();
    let credit: Money = accounts.values().map(|(_, column)| column.credit).sum();
    let rows: Vec<Value> = accounts
        .iter()
        .map(|(name, (account, column))| {
            json!({ "account": name, "name": name_of(account, &owners), "debit_yuan": column.debit, "credit_yuan": column.credit, "balance_yuan": column.debit - column.credit })
        })
        .collect();
    // An owner is told by an id, which is longer than any other detail.
    let width = accounts.keys().map(String::len).max().unwrap_or_default().max(18);
    let mut text = format!("{:<width$} {:<22} {:>18} {:>18} {:>18}\n", "account", "", "debit", "credit", "balance");
    for (name, (account, column)) in &accounts {
        let balance = column.debit - column.credit;
        text.push_str(&line(&format!("{name:<width$} {:<22}", name_of(account, &owners)), column.debit, column.credit, balance));
        text.push('\n');
    }
    text.push_str(&line(&format!("{:<width$} {:<22}", "total", ""), debit, credit, debit - credit));
    let json = json!({ "as_of": as_of, "operator_id": operator, "position": until, "accounts": rows, "trial_balance": { "debit": debit, "credit": credit } });
    Ok(Answer { json, text, is_fine: debit == credit })
}

/// One row of a trial balance. An amount is made text first: it does not know of columns by itself.
fn line(account: &str, debit: Money, credit: Money, balance: Money) -> String {
    format!("{account} {:>18} {:>18} {:>18}", debit.to_string(), credit.to_string(), balance.to_string())
}

/// The account as a trial balance shows it: customers together, everything else by its detail, owners of stations each.
fn ledger_account(account: Account) -> String {
    match account {
        Account::Receivable(_) | Account::Prepayment(_) => account.code().to_owned(),
        _ => account.to_string(),
    }
}

/// What an account holds, for people: of an owner of stations, the last name that a station was registered to it under.
fn name_of(account: &Account, owners: &BTreeMap<OperatorId, String>) -> String {
    let owner = match account {
        Account::OperatorPayable(owner) => owners.get(owner),
        _ => None,
    };
    owner.map_or_else(|| account.name().to_owned(), |owner| format!("payable to {owner}"))
}

fn explain_session(log: &RawLog, session: &str) -> anyhow::Result<Answer> {
    let session_id = find_session(log, session)?;
    let mut reader = log.reader()?;
    let mut state = Session::default();
    let mut history = Vec::new();
    let mut bills = Vec::new();
    let stream = StreamId::session(session_id);
    let mut from = domain::log::Revision(0);
    loop {
        let page = reader.stream(&stream, from, 512)?;
        let Some(last) = page.last() else { break };
        from = last.revision.next();
        for stored in page {
            let (event_type, occurred_at, position) = (stored.event_type.clone(), stored.metadata.occurred_at, stored.position);
            let recorded = stored.decode()?;
            history.push((position, occurred_at, event_type));
            state = state.apply(&recorded);
            if let Event::Session(SessionEvent::Billed { bill, .. } | SessionEvent::BillCorrected { bill, .. }) = &recorded.event {
                bills.push(bill.clone());
            }
        }
    }
    let terms = state.terms().with_context(|| format!("there is no session {session}"))?;
    let mut text = format!("session {session_id}, order {}\n", terms.order_number);
    for (position, occurred_at, event_type) in &history {
        text.push_str(&format!("  {position:>9}  {occurred_at}  {event_type}\n"));
    }
    let mut explained = Vec::new();
    if let Some(tariff) = &terms.tariff {
        for bill in &bills {
            let explanation = explain(bill, tariff, &terms.zone, terms.agency.as_deref());
            text.push_str(&format!("\n{explanation}\n"));
            explained.push(serde_json::to_value(&explanation)?);
        }
    }
    let mut rules = AdoptedRules::default();
    let mut entries = Vec::new();
    text.push_str("\nentries\n");
    for event in events_of(log, &Filter::types(POSTED.into_iter().chain(["journal.rules_adopted"])))? {
        let recorded = event?;
        rules.apply(&recorded)?;
        if recorded.metadata.correlation_id != session_id.0 {
            continue;
        }
        let Some(entry) = postings(&recorded, rules.at(recorded.metadata.operator_id, recorded.position))? else { continue };
        text.push_str(&format!("  {:>9}  {}  {}\n", recorded.position, recorded.metadata.occurred_at, entry.kind().as_str()));
        for posting in entry.postings() {
            text.push_str(&format!(
                "             {:<48} {:>14} {:>14}\n",
                posting.account.to_string(),
                posting.debited().to_string(),
                posting.credited().to_string()
            ));
        }
        let lines: Vec<Value> = entry
            .postings()
            .iter()
            .map(|posting| json!({ "account": posting.account.to_string(), "debit_yuan": posting.debited(), "credit_yuan": posting.credited() }))
            .collect();
        entries.push(json!({
            "position": recorded.position,
            "event_id": recorded.metadata.event_id,
            "occurred_at": recorded.metadata.occurred_at,
            "kind": entry.kind().as_str(),
            "postings": lines,
        }));
    }
    let events: Vec<Value> =
        history.iter().map(|(position, at, event_type)| json!({ "position": position, "occurred_at": at, "type": event_type })).collect();
    let json = json!({
        "session_id": session_id,
        "order_number": terms.order_number,
        "events": events,
        "bills": explained,
        "entries": entries,
    });
    Answer::new(&json, text)
}

fn find_session(log: &RawLog, session: &str) -> anyhow::Result<SessionId> {
    if let Ok(session_id) = session.parse() {
        return Ok(session_id);
    }
    for event in events_of(log, &Filter::types(["session.requested", "session.discovered"]))? {
        if let Event::Session(SessionEvent::Requested { refs, order_number, .. } | SessionEvent::Discovered { refs, order_number, .. }) =
            &event?.event
            && order_number.as_str() == session
        {
            return Ok(refs.session_id);
        }
    }
    bail!("there is no session {session}; give its id or its order number of 27 characters");
}

/// The matching events of the log, in order, read and decoded on all cores.
fn events_of(log: &RawLog, filter: &Filter) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Recorded<Event>>>> {
    let stretches =
        log.replay(filter, |page| page.events.into_iter().map(|stored| stored.decode().map_err(anyhow::Error::from)).collect::<Vec<_>>())?;
    Ok(stretches.flat_map(|stretch| match stretch {
        Ok(events) => events,
        Err(error) => vec![Err(error.into())],
    }))
}

/// One for each core.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_log_is_not_said_to_have_been_checked_to_its_end() {
        assert_eq!(how_far(1_000, 20, None), "1,000 events in 20 streams: every hash computed again, every event read");
        let said = how_far(98_176, 20, Some((Position(98_177), Position(395_915))));
        assert_eq!(said, "stopped at 98,177 of 395,915: the hashes after it were not computed; every event was read");
        assert_eq!((counted(1), counted(2)), ("1 finding".to_owned(), "2 findings".to_owned()));
    }
}
