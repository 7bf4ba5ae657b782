//! What has to hold whatever happened. Each check is a function over the log, and the last tests here show that each can fail.

use std::collections::{BTreeMap, BTreeSet};

use commands::port::refund_reason;
use commands::session::StartPayment;
use domain::audit::Audit;
use domain::connector::{Connector, ConnectorEvent};
use domain::decider::Decider;
use domain::event::Event;
use domain::ids::{ConnectorId, PaymentId, RefundId, SessionId, UserId};
use domain::journal::{Account, AdoptedRules, Customer, postings};
use domain::log::Recorded;
use domain::payment::{Channel, Payment, PaymentEvent, PaymentStatus, Purpose, RefundOutcome};
use domain::session::{DeviceFact, PaymentMode, Session, SessionEvent};
use domain::units::Money;
use domain::wallet::{Wallet, WalletEvent};

use crate::world::{World, connector, prepaid, user, yuan};

/// Everything, folded from the log, beside the sums of its postings.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) payments: BTreeMap<PaymentId, Payment>,
    pub(crate) wallets: BTreeMap<UserId, Wallet>,
    connectors: BTreeMap<ConnectorId, Connector>,
    /// What went back.
    refunds: BTreeMap<(PaymentId, RefundId), Money>,
    asked: BTreeSet<(PaymentId, RefundId)>,
    accounts: BTreeMap<Account, Money>,
    rules: AdoptedRules,
    wrong: Vec<String>,
}

impl Books {
    pub(crate) fn of(log: &[Recorded<Event>]) -> Books {
        let mut books = Books::default();
        for recorded in log {
            books.post(recorded);
            books.judge(recorded);
            books.fold(recorded);
        }
        books.once(log);
        books
    }

    fn post(&mut self, recorded: &Recorded<Event>) {
        self.rules.apply(recorded).unwrap();
        match postings(recorded, self.rules.at(recorded.metadata.operator_id, recorded.position)) {
            Ok(None) => {}
            Ok(Some(entry)) => {
                let sum: Money = entry.postings().iter().map(|posting| posting.amount).sum();
                if !sum.is_zero() {
                    self.wrong.push(format!("an entry is out of balance by {sum}: {recorded:?}"));
                }
                for posting in entry.postings() {
                    *self.accounts.entry(posting.account).or_default() += posting.amount;
                }
            }
            Err(error) => self.wrong.push(format!("no entry: {error}")),
        }
    }

    /// What must hold before the event is applied.
    fn judge(&mut self, recorded: &Recorded<Event>) {
        match &recorded.event {
            Event::Connector(ConnectorEvent::Occupied { connector_id, session_id, .. }) => {
                if let Some(other) = self.connectors.get(connector_id).and_then(Connector::occupant) {
                    self.wrong.push(format!("two sessions on {connector_id}: {other} and {session_id}"));
                }
            }
            Event::Wallet(event) if event.held().is_negative() || event.held() > event.balance() => {
                self.wrong.push(format!("a wallet below zero: {event:?}"));
            }
            Event::Payment(PaymentEvent::RefundSucceeded { payment_id, refund_id, amount, .. }) => {
                if !self.asked.contains(&(*payment_id, *refund_id)) {
                    self.wrong.push(format!("nobody asked for refund {refund_id}"));
                }
                let gone = self.refunds.entry((*payment_id, *refund_id)).or_default();
                *gone += *amount;
                let back: Money = self.refunds.iter().filter(|((of, _), _)| of == payment_id).map(|(_, amount)| *amount).sum();
                let paid = self.payments.get(payment_id).filter(|payment| payment.receipt().is_some());
                let paid = paid.and_then(Payment::terms).map_or(Money::ZERO, |terms| terms.amount);
                if back > paid {
                    self.wrong.push(format!("refunds of {back} on payment {payment_id} of {paid}"));
                }
            }
            Event::Payment(PaymentEvent::RefundRequested { payment_id, refund_id, .. }) => {
                self.asked.insert((*payment_id, *refund_id));
            }
            _ => {}
        }
    }

    fn fold(&mut self, recorded: &Recorded<Event>) {
        fn step<K: Ord, D: Decider>(states: &mut BTreeMap<K, D>, key: K, recorded: &Recorded<Event>) {
            let state = states.entry(key).or_default();
            *state = std::mem::take(state).apply(recorded);
        }
        let key = recorded.stream.key();
        match &recorded.event {
            Event::Session(_) => step(&mut self.sessions, key.parse().unwrap(), recorded),
            Event::Payment(_) => step(&mut self.payments, key.parse().unwrap(), recorded),
            Event::Wallet(_) => step(&mut self.wallets, key.parse().unwrap(), recorded),
            Event::Connector(_) => step(&mut self.connectors, key.parse().unwrap(), recorded),
            _ => {}
        }
    }

    /// What may stand in the log once only.
    fn once(&mut self, log: &[Recorded<Event>]) {
        let (mut ids, mut facts) = (BTreeSet::new(), BTreeSet::new());
        for recorded in log {
            if !ids.insert(recorded.metadata.event_id) {
                self.wrong.push(format!("event {} twice", recorded.metadata.event_id));
            }
            let fact = match &recorded.event {
                Event::Payment(PaymentEvent::Succeeded { payment_id, .. } | PaymentEvent::ReceivedLate { payment_id, .. }) => {
                    format!("payment {payment_id} received")
                }
                Event::Payment(PaymentEvent::RefundRequested { refund_id, .. }) => format!("refund {refund_id} requested"),
                Event::Payment(PaymentEvent::RefundSucceeded { refund_id, .. }) => format!("refund {refund_id} paid"),
                Event::Session(SessionEvent::Billed { refs, .. }) => format!("session {} billed", refs.session_id),
                Event::Wallet(WalletEvent::Captured { session_id, .. }) => format!("session {session_id} captured"),
                Event::Wallet(WalletEvent::ToppedUp { payment_id, .. }) => format!("payment {payment_id} topped up"),
                _ => continue,
            };
            if !facts.insert(fact.clone()) {
                self.wrong.push(format!("{fact} twice"));
            }
        }
    }

    /// Everything that does not agree; `at_channel` is what the channel itself says it holds. Only at rest: money on its way between two streams is not looked for.
    pub(crate) fn findings(&self, log: &[Recorded<Event>], at_channel: Money) -> Vec<String> {
        let mut wrong = self.wrong.clone();
        let stands = |account: Account| self.accounts.get(&account).copied().unwrap_or_default();
        let payers = self.payments.values().filter_map(|payment| Some(payment.terms()?.user_id));
        let booked = self.accounts.keys().filter_map(|account| match account {
            Account::Prepayment(Customer::User(user)) => Some(*user),
            _ => None,
        });
        let users: BTreeSet<UserId> = payers.chain(booked).collect();
        for user in users {
            let prepaid: Money = self.payments.values().map(|payment| self.rest_of_prepayment(payment, user)).sum();
            let wallet = self.wallets.get(&user).map_or(Money::ZERO, |wallet| wallet.balance() + wallet.returning());
            let booked = -stands(Account::Prepayment(Customer::User(user)));
            if booked != prepaid + wallet {
                wrong.push(format!("2205 of {user} stands at {booked}; prepayments come to {prepaid}, the wallet to {wallet}"));
            }
        }
        // Nobody is passed over who stands in the books.
        let mut owed: BTreeMap<Customer, Money> = BTreeMap::new();
        for account in self.accounts.keys() {
            if let Account::Receivable(customer) = account {
                owed.insert(*customer, Money::ZERO);
            }
        }
        for session in self.sessions.values() {
            if let Session::Billed { bill, paid, course, .. } = session {
                *owed.entry(course.terms.refs.user_id.into()).or_default() += bill.total - paid.total();
            }
        }
        for (customer, owed) in owed {
            let booked = stands(Account::Receivable(customer));
            if booked != owed {
                wrong.push(format!("1122 of {customer:?} stands at {booked}; unpaid bills come to {owed}"));
            }
        }
        let booked = stands(Account::ChannelClearing(Channel::Sandbox));
        if booked != at_channel {
            wrong.push(format!("1012.sandbox stands at {booked}; the channel says {at_channel}"));
        }
        let total: Money = self.accounts.values().copied().sum();
        if !total.is_zero() {
            wrong.push(format!("the trial balance is out by {total}"));
        }
        let mut audit = Audit::default();
        log.iter().for_each(|recorded| audit.observe(recorded));
        wrong.extend(audit.findings().iter().map(|finding| format!("audit: {finding}")));
        wrong
    }

    fn rest_of_prepayment(&self, payment: &Payment, user: UserId) -> Money {
        let Some(terms) = payment.terms().filter(|terms| terms.user_id == user) else { return Money::ZERO };
        let Purpose::Prepayment { session_id } = terms.purpose else { return Money::ZERO };
        if payment.status() != PaymentStatus::Succeeded {
            return Money::ZERO;
        }
        let back: Money = self.refunds.iter().filter(|((of, _), _)| *of == terms.payment_id).map(|(_, amount)| *amount).sum();
        let applied = match self.sessions.get(&session_id) {
            Some(Session::Billed { paid, .. }) => paid.prepaid,
            _ => Money::ZERO,
        };
        terms.amount - back - applied
    }

    /// What is not finished, though all deadlines have passed. A session that was given up waits for a person, and is no exception here: the test plays that person.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let mut open = Vec::new();
        for (id, session) in &self.sessions {
            match session {
                Session::NotStarted(_) | Session::Billed { is_settled: true, .. } => {}
                other => open.push(format!("session {id} is left {}", format!("{other:?}").chars().take(60).collect::<String>())),
            }
        }
        for (id, connector) in &self.connectors {
            if let Some(session) = connector.occupant() {
                open.push(format!("connector {id} is still occupied by {session}"));
            }
        }
        for (id, payment) in &self.payments {
            if payment.status() == PaymentStatus::Open {
                open.push(format!("payment {id} is still open"));
            }
            // Nothing of a late receipt may stay here, and nothing of a prepayment that its session does not use.
            let is_unused = payment.status() == PaymentStatus::ReceivedLate && payment.refundable().is_positive();
            let rest = payment.terms().map_or(Money::ZERO, |terms| self.rest_of_prepayment(payment, terms.user_id));
            if is_unused || rest.is_positive() {
                open.push(format!("payment {id} has not gone back: {payment:?}"));
            }
        }
        for (payment, refund) in self.pending_refunds() {
            open.push(format!("refund {refund} of {payment} is pending"));
        }
        for (user, wallet) in &self.wallets {
            if !wallet.held().is_zero() || !wallet.returning().is_zero() {
                open.push(format!("wallet of {user} holds {} and waits for {}", wallet.held(), wallet.returning()));
            }
        }
        open
    }

    fn pending_refunds(&self) -> Vec<(PaymentId, RefundId)> {
        let asked = self.asked.iter();
        asked
            .filter(|(payment, refund)| {
                let refund = self.payments.get(payment).and_then(|payment| payment.refund(*refund));
                refund.is_some_and(|refund| refund.outcome == RefundOutcome::Pending)
            })
            .copied()
            .collect()
    }

    /// All balances as one text, to compare two runs.
    pub(crate) fn digest(&self) -> String {
        let accounts = self.accounts.iter().map(|(account, amount)| format!("{account}={amount}"));
        let wallets = self.wallets.iter().map(|(user, wallet)| format!("wallet {user}={}", wallet.balance()));
        accounts.chain(wallets).collect::<Vec<_>>().join("\n")
    }

    /// The sessions that wait for a person.
    pub(crate) fn given_up(&self) -> Vec<SessionId> {
        let ended = self.sessions.iter().filter(|(_, session)| matches!(session, Session::Ended { .. } | Session::Charging(_)));
        ended.map(|(id, _)| *id).collect()
    }

    /// How the sessions that were requested were to be paid, and how far they came: so that a simulation is known to have done something.
    pub(crate) fn tally(&self) -> BTreeMap<String, usize> {
        let mut tally = BTreeMap::new();
        for session in self.sessions.values() {
            let mode = match session.terms().map(|terms| terms.mode) {
                Some(PaymentMode::Prepaid { .. }) => "prepaid",
                Some(PaymentMode::Wallet { .. }) => "wallet",
                Some(PaymentMode::Postpaid) => "postpaid",
                None => "none",
            };
            let end = if session.bill().is_some() { "billed" } else { "not started" };
            *tally.entry(format!("{mode} {end}")).or_default() += 1;
        }
        tally
    }
}

/// Nothing is wrong and nothing is left.
pub(crate) async fn are_in_order(world: &World) -> Books {
    let log = world.log().await;
    let books = Books::of(&log);
    assert_eq!(books.findings(&log, world.channel.statement().unwrap().balance()), Vec::<String>::new());
    assert_eq!(books.unfinished(), Vec::<String>::new());
    assert_eq!(told_otherwise(world, &log), Vec::<String>::new());
    assert_eq!(*world.devices.late.lock().unwrap(), [], "orders that came after their time");
    books
}

/// Refunds that the channel was asked for with another reason than the ledger has.
fn told_otherwise(world: &World, log: &[Recorded<Event>]) -> Vec<String> {
    let told = |recorded: &Recorded<Event>| match &recorded.event {
        Event::Payment(PaymentEvent::RefundRequested { refund_no, channel, reason, .. }) => {
            let told = world.channel.refund_reason(refund_no).unwrap()?;
            (told != refund_reason(*channel, reason)).then(|| format!("refund {refund_no} says {told}, not {reason}"))
        }
        _ => None,
    };
    log.iter().filter_map(told).collect()
}

/// A good log in which everything happens, and what its channel holds.
async fn good() -> (Vec<Recorded<Event>>, Money) {
    let mut world = World::calm().await;
    world.start_managers().await;
    world.top_up(user(1), "60").await;
    let modes = [prepaid("50"), StartPayment::Wallet { hold: yuan("40") }, StartPayment::Postpaid];
    let mut sessions = Vec::new();
    for (number, mode) in (0..).zip(modes) {
        sessions.push(world.start(connector(number + 1), user(number), mode).await.unwrap().session_id);
        world.settle_down().await;
    }
    for session in sessions {
        world.charge(session, "20", 10).await;
        let unplugged = DeviceFact::Unplugged { unplugged_at: world.now() };
        world.report(session, unplugged).await;
        world.settle_down().await;
    }
    world.edge.refund_wallet(&world.caller(), &world.request(), user(1), yuan("9"), None).await.unwrap();
    world.settle_down().await;
    are_in_order(&world).await;
    (world.log().await, world.channel.statement().unwrap().balance())
}

fn is(event_type: &'static str) -> impl Fn(&Recorded<Event>) -> bool {
    move |recorded| recorded.event.name() == event_type
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_is_found() {
    let (log, at_channel) = good().await;
    for (lost, told) in [
        ("payment.succeeded", "1012.sandbox stands at"),
        ("payment.refund_succeeded", "1012.sandbox stands at"),
        ("session.billed", "1122 of"),
        ("wallet.captured", "2205 of"),
        ("wallet.topped_up", "audit: account 2205"),
        ("session.settled", "is left Billed"),
        ("session.record_accepted", "is left Charging"),
        ("connector.released", "is still occupied by"),
        ("wallet.refund_part_succeeded", "waits for 9.00"),
        ("payment.refund_succeeded", "is pending"),
        ("payment.refund_requested", "nobody asked for refund"),
        ("payment.refund_succeeded", "has not gone back"),
    ] {
        let rest: Vec<_> = log.iter().filter(|recorded| !is(lost)(recorded)).cloned().collect();
        assert!(rest.len() < log.len(), "there is no {lost}");
        let books = Books::of(&rest);
        let all = [books.findings(&rest, at_channel), books.unfinished()].concat();
        assert!(all.iter().any(|what| what.contains(told)), "{lost}: {told} is not among {all:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_too_many_is_found() {
    let (log, at_channel) = good().await;
    for (again, told) in [
        ("payment.succeeded", "received twice"),
        ("payment.refund_succeeded", "paid twice"),
        ("session.billed", "billed twice"),
        ("wallet.captured", "captured twice"),
        ("connector.occupied", "two sessions on"),
    ] {
        let index = log.iter().position(is(again)).unwrap();
        let mut more = log.clone();
        more.insert(index + 1, log[index].clone());
        let all = Books::of(&more).findings(&more, at_channel);
        assert!(all.iter().any(|what| what.contains(told)), "{again}: {told} is not among {all:#?}");
        assert!(all.iter().any(|what| what.contains("event") && what.contains("twice")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_amount_is_found() {
    let (log, at_channel) = good().await;
    let changed = |change: &dyn Fn(&mut Event)| {
        let mut log = log.clone();
        log.iter_mut().for_each(|recorded| change(&mut recorded.event));
        Books::of(&log).findings(&log, at_channel)
    };
    let refund_too_large = changed(&|event| {
        if let Event::Payment(PaymentEvent::RefundSucceeded { amount, .. }) = event {
            *amount = yuan("99");
        }
    });
    assert!(refund_too_large.iter().any(|what| what.contains("refunds of 99.00 on payment")), "{refund_too_large:#?}");
    let wallet_below_zero = changed(&|event| {
        if let Event::Wallet(WalletEvent::Captured { balance, .. }) = event {
            *balance = yuan("-1");
        }
    });
    assert!(wallet_below_zero.iter().any(|what| what.contains("a wallet below zero")), "{wallet_below_zero:#?}");
    let bill_that_does_not_sum = changed(&|event| {
        if let Event::Session(SessionEvent::Billed { bill, .. }) = event {
            bill.total += yuan("0.01");
        }
    });
    assert!(bill_that_does_not_sum.iter().any(|what| what.starts_with("no entry")), "{bill_that_does_not_sum:#?}");
    let fen = at_channel + yuan("0.01");
    assert!(Books::of(&log).findings(&log, fen).iter().any(|what| what.contains("1012.sandbox")));
}
