//! What the ledger holds, in one page: read from the raw log, so that it says what is there and not what a view thinks.

use std::collections::{BTreeMap, HashMap, HashSet};

use domain::event::Event;
use domain::ids::SessionId;
use domain::log::{Filter, Position};
use domain::payment::PaymentEvent;
use domain::pricing::{Bill, FeeKind};
use domain::session::SessionEvent;
use domain::units::{Energy, Money};
use projections::runner::Status;
use serde_json::{Value, json};

use crate::command::audit::Verdict;
use crate::import::Report;
use crate::output::{grouped, table};
use crate::raw_log::RawLog;

/// What the sessions and payments of the log come to.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Sessions with an accepted record, and their energy.
    energies: HashMap<SessionId, Energy>,
    /// The bill that holds, by kind of fee and as a whole.
    revenue_by_kind: BTreeMap<&'static str, Money>,
    pub(crate) revenue: Money,
    pub(crate) refunded: Money,
    pub(crate) refunds: u64,
    pub(crate) sessions: u64,
}

impl Figures {
    /// Reads them out of a store.
    pub(crate) fn of(log: &RawLog) -> anyhow::Result<Figures> {
        let types = [
            "session.requested",
            "session.discovered",
            "session.record_accepted",
            "session.billed",
            "session.bill_corrected",
            "payment.refund_succeeded",
        ];
        let mut figures = Figures::default();
        let pages = log.replay(&Filter::types(types), |page| {
            page.events.into_iter().map(|stored| stored.decode().map(|recorded| recorded.event)).collect::<Result<Vec<_>, _>>()
        })?;
        for events in pages {
            for event in events?? {
                figures.take(&event);
            }
        }
        Ok(figures)
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Session(SessionEvent::Requested { .. } | SessionEvent::Discovered { .. }) => self.sessions += 1,
            Event::Session(SessionEvent::RecordAccepted { refs, energy, .. }) => {
                self.energies.insert(refs.session_id, *energy);
            }
            Event::Session(SessionEvent::Billed { bill, .. }) => self.bill(bill, None),
            Event::Session(SessionEvent::BillCorrected { bill, replaced, .. }) => self.bill(bill, Some(replaced)),
            Event::Payment(PaymentEvent::RefundSucceeded { amount, .. }) => {
                self.refunded += *amount;
                self.refunds += 1;
            }
            _ => {}
        }
    }

    fn bill(&mut self, bill: &Bill, replaced: Option<&Bill>) {
        for kind in FeeKind::ALL {
            let sum = self.revenue_by_kind.entry(kind.as_str()).or_default();
            *sum += bill.gross(kind) - replaced.map_or(Money::ZERO, |bill| bill.gross(kind));
        }
        self.revenue += bill.total - replaced.map_or(Money::ZERO, |bill| bill.total);
    }

    /// How many of these sessions the ledger has, and their energy.
    pub(crate) fn of_sessions(&self, sessions: &HashSet<SessionId>) -> (u64, Energy) {
        let mut count = 0;
        let mut energy = Energy::ZERO;
        for (_, one) in self.energies.iter().filter(|(session_id, _)| sessions.contains(session_id)) {
            count += 1;
            energy += *one;
        }
        (count, energy)
    }
}

/// Everything the summary is made of.
pub(crate) struct Summary<'a> {
    pub(crate) report: &'a Report,
    /// The sessions that the file's rows became.
    pub(crate) imported: &'a HashSet<SessionId>,
    pub(crate) figures: &'a Figures,
    pub(crate) verdict: &'a Verdict,
    pub(crate) head: Position,
    pub(crate) projections: &'a [Status],
    /// Where the API is.
    pub(crate) url: &'a str,
    /// Role and secret of each key.
    pub(crate) keys: &'a [(String, String)],
}

impl Summary<'_> {
    /// Everything that is not as it has to be.
    pub(crate) fn faults(&self) -> Vec<String> {
        let account = &self.report.account;
        let (sessions, energy) = self.figures.of_sessions(self.imported);
        let totals = self.verdict.books.totals();
        let mut faults: Vec<String> = self.verdict.findings.iter().map(ToString::to_string).collect();
        if account.imported + account.flagged + account.rejected != account.rows {
            faults.push(format!(
                "{} rows, but {} imported, {} flagged and {} rejected",
                account.rows, account.imported, account.flagged, account.rejected
            ));
        }
        if sessions != account.imported + account.flagged {
            faults.push(format!("the ledger has {sessions} of the {} sessions of the file", account.imported + account.flagged));
        }
        if energy != account.energy_kwh {
            faults.push(format!("the ledger has {energy} kWh of the file's {} kWh", account.energy_kwh));
        }
        if totals.debit != totals.credit {
            faults.push(format!("debits of {} and credits of {}", totals.debit, totals.credit));
        }
        for late in self.projections.iter().filter(|status| status.lag_events > 0 || status.halt.is_some()) {
            faults.push(format!(
                "projection {} is {} events behind: {}",
                late.name,
                late.lag_events,
                late.error.as_deref().unwrap_or("no error")
            ));
        }
        faults
    }

    pub(crate) fn json(&self) -> Value {
        let account = &self.report.account;
        let totals = self.verdict.books.totals();
        let (sessions, energy) = self.figures.of_sessions(self.imported);
        let faults = self.faults();
        let projections: Vec<Value> = self
            .projections
            .iter()
            .map(|status| json!({ "name": status.name, "position": status.position, "lag": status.lag_events }))
            .collect();
        let keys: serde_json::Map<String, Value> = self.keys.iter().map(|(role, secret)| (role.clone(), secret.clone().into())).collect();
        json!({
            "rows": account.rows,
            "imported": account.imported,
            "flagged": account.flagged,
            "rejected": account.rejected,
            "sessions": sessions,
            "sessions_in_ledger": self.figures.sessions,
            "events": self.verdict.events,
            "head": self.head,
            "energy_kwh": energy,
            "revenue_yuan": self.figures.revenue,
            "revenue_by_kind_yuan": self.figures.revenue_by_kind,
            "refunded_yuan": self.figures.refunded,
            "refunds": self.figures.refunds,
            "trial_balance": { "debit": totals.debit, "credit": totals.credit },
            "projections": projections,
            "audit": if faults.is_empty() { "ok" } else { "failed" },
            "faults": faults,
            "oddities": account.oddities,
            "rejections": account.rejections,
            "operator_id": self.report.operator_id,
            "import_sessions": self.report.played,
            "import_events": self.report.events,
            "import_seconds": milli(self.report.seconds),
            "events_per_s": milli(self.report.rate()),
            "url": self.url,
            "keys": keys,
        })
    }

    pub(crate) fn text(&self) -> String {
        let account = &self.report.account;
        let totals = self.verdict.books.totals();
        let (sessions, energy) = self.figures.of_sessions(self.imported);
        let kinds: Vec<String> = self.figures.revenue_by_kind.iter().map(|(kind, sum)| format!("{kind} {sum}")).collect();
        let projections = match (self.projections.len(), self.projections.iter().map(|status| status.lag_events).max()) {
            (0, _) => "none: no database is configured".to_owned(),
            (count, Some(0)) => format!("{count}, every one at the head"),
            (count, lag) => format!("{count}, the last one {} events behind", grouped(lag.unwrap_or(0))),
        };
        let mut rows = vec![
            (
                "rows",
                format!(
                    "{}: {} imported, {} with something odd about them, {} rejected",
                    grouped(account.rows),
                    grouped(account.imported),
                    grouped(account.flagged),
                    grouped(account.rejected)
                ),
            ),
            ("sessions", format!("{}, {energy} kWh", grouped(sessions))),
            ("events", format!("{}, head {}", grouped(self.verdict.events), grouped(self.head.0))),
            ("revenue", format!("{} yuan with tax ({})", self.figures.revenue, kinds.join(", "))),
            ("refunds", format!("{}, {} yuan", grouped(self.figures.refunds), self.figures.refunded)),
            ("trial balance", format!("debit {}, credit {}", totals.debit, totals.credit)),
            ("projections", projections),
            (
                "this run",
                format!(
                    "{} sessions, {} events in {:.1} s ({:.0} events/s)",
                    grouped(self.report.played),
                    grouped(self.report.events),
                    self.report.seconds,
                    self.report.rate()
                ),
            ),
        ];
        let faults = self.faults();
        rows.push(("audit", if faults.is_empty() { "ok".to_owned() } else { format!("{} findings", faults.len()) }));
        rows.push(("API", format!("{}, documentation at {}/docs", self.url, self.url)));
        rows.push(("console", format!("{}/console/operations, with the operator or the admin key", self.url)));
        rows.push(("operator", self.report.operator_id.to_string()));
        let mut text = table(&rows);
        for (role, secret) in self.keys {
            text.push_str(&format!("  key {role:12} {secret}\n"));
        }
        for fault in faults.iter().take(20) {
            text.push_str(&format!("  ! {fault}\n"));
        }
        text
    }
}

fn milli(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
