//! What holds whatever is asked and reported, in whatever order: money is never lost nor made, and a fact repeated changes nothing.

use proptest::prelude::*;

use super::*;
use crate::units::ReportedEnergy;

/// Few values, so that repetitions, contradictions and overlaps are frequent.
fn register() -> impl Strategy<Value = ReportedEnergy> {
    prop_oneof![
        8 => (0..8_i64).prop_map(|n| format!("{}", 100 + n * 12).parse().unwrap()),
        1 => prop::sample::select(vec!["-1", "0", "0.5", "100.00001", "9999999999.9999", "79228162514264337593543950335"])
            .prop_map(|text| text.parse().unwrap()),
    ]
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        12 => (0..12_i64).prop_map(|n| clock("10:00").plus_seconds(n * 600)),
        1 => prop::sample::select(vec!["0001-01-01T00:00:00Z", "2000-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "9999-12-30T22:00:00Z"])
            .prop_map(at),
    ]
}

fn reading() -> impl Strategy<Value = MeterReading> {
    (register(), time()).prop_map(|(register, read_at)| MeterReading { register, read_at })
}

fn reason() -> impl Strategy<Value = StopReason> {
    prop::sample::select(vec![StopReason::User, StopReason::Local, StopReason::VehicleFull])
}

fn any_record() -> impl Strategy<Value = TransactionRecord> {
    let fitting = (0..9_i64, time(), time()).prop_map(|(n, started_at, ended_at)| TransactionRecord {
        started_at: started_at.min(ended_at),
        ended_at: started_at.max(ended_at),
        ..record(&format!("{}", n * 12))
    });
    let wild = (register(), register(), register(), time(), time(), reason()).prop_map(
        |(meter_start, meter_end, energy, started_at, ended_at, reason)| TransactionRecord {
            meter_start,
            meter_end,
            energy,
            started_at,
            ended_at,
            reason,
            ..record("0")
        },
    );
    prop_oneof![3 => fitting, 1 => wild]
}

fn fact() -> impl Strategy<Value = DeviceFact> {
    prop_oneof![
        2 => reading().prop_map(|meter| DeviceFact::Started { meter }),
        6 => reading().prop_map(|reading| DeviceFact::Meter { reading }),
        2 => (reason(), prop::option::of(reading()), time())
            .prop_map(|(reason, meter, stopped_at)| DeviceFact::Stopped { reason, meter, stopped_at }),
        1 => time().prop_map(|faulted_at| DeviceFact::Faulted { code: "0x11".to_owned(), faulted_at }),
        1 => time().prop_map(|unplugged_at| DeviceFact::Unplugged { unplugged_at }),
        3 => any_record().prop_map(|record| DeviceFact::Record { record }),
    ]
}

fn reported() -> impl Strategy<Value = SessionCommand> {
    (fact(), any::<bool>())
        .prop_map(|(fact, has_tariff)| SessionCommand::Report { fact, discovery: discovery(has_tariff.then(tariff_with_idle_fee)) })
}

fn amount() -> impl Strategy<Value = Money> {
    (0..12_i64).prop_map(|n| Money::from_fen(n * 777))
}

fn command() -> impl Strategy<Value = SessionCommand> {
    prop_oneof![
        1 => mode().prop_map(request),
        2 => Just(SessionCommand::Authorise),
        1 => prop::sample::select(vec![RefusalReason::PaymentFailed, RefusalReason::DeviceRefused])
            .prop_map(|reason| SessionCommand::Refuse { reason }),
        2 => time().prop_map(|expires_at| SessionCommand::BeginStart { expires_at }),
        1 => Just(SessionCommand::TimeOutStart),
        1 => reason().prop_map(|reason| SessionCommand::RequestStop { reason }),
        12 => reported(),
        1 => Just(SessionCommand::Abandon),
        2 => ((0..9_i64), time()).prop_map(|(n, ended_at)| SessionCommand::CloseByOperator {
            energy: kwh(&format!("{}", n * 11)),
            ended_at,
            note: "decided".to_owned(),
        }),
        4 => prop::option::of(time()).prop_map(|plugged_until| SessionCommand::Bill { plugged_until }),
        4 => amount().prop_map(|captured| SessionCommand::Settle { captured }),
        1 => amount().prop_map(|amount| SessionCommand::Credit { amount, note: "sorry".to_owned() }),
        3 => (80..84_u128, amount()).prop_map(|(payment, amount)| SessionCommand::PayReceivable { payment_id: id(payment), amount }),
    ]
}

fn mode() -> impl Strategy<Value = PaymentMode> {
    prop::sample::select(MODES.to_vec()).prop_map(|mode| mode())
}

/// How far it has come before anything may happen: most sequences from nothing are refused at once.
fn beginning() -> impl Strategy<Value = Vec<SessionEvent>> {
    let fee = |mode| vec![requested_under(mode, tariff_with_idle_fee()), authorised(), starting(), started()];
    (mode(), 0..6_usize, any::<bool>()).prop_map(move |(mode, length, has_fee)| {
        let mut events = if has_fee { fee(mode) } else { charging(mode) };
        if length == 5 {
            events.push(SessionEvent::ClosedByOperator {
                refs: refs(),
                energy: kwh("30"),
                ended_at: clock("10:30"),
                note: "decided".to_owned(),
            });
        }
        events.truncate(length);
        events
    })
}

/// A history, checked at every step.
struct History {
    session: Session,
    events: Vec<SessionEvent>,
}

impl History {
    fn of(beginning: Vec<SessionEvent>) -> History {
        History { session: state(beginning.clone()), events: beginning }
    }

    fn take(&mut self, command: &SessionCommand) -> Result<(), TestCaseError> {
        let decision = self.session.decide(command.clone());
        prop_assert_eq!(&decision, &self.session.decide(command.clone()), "the same state decides alike");
        let Ok(events) = decision else { return Ok(()) };
        let before = self.session.basis().and_then(|basis| basis.record.clone());
        for event in &events {
            self.session = std::mem::take(&mut self.session).evolve(event);
        }
        self.events.extend(events);
        let after = self.session.basis().and_then(|basis| basis.record.clone());
        prop_assert!(before.is_none() || before == after, "a believed record stays");
        self.repeat(command)?;
        self.points()?;
        self.bill()?;
        self.money()
    }

    /// Facts, payments, settlements and bills change nothing when they come again, nor does any request that only moves it on.
    fn repeat(&self, command: &SessionCommand) -> Result<(), TestCaseError> {
        if let SessionCommand::Request(_) | SessionCommand::CloseByOperator { .. } | SessionCommand::Credit { .. } = command {
            return Ok(());
        }
        let again = self.session.decide(command.clone());
        prop_assert!(again.as_ref().is_ok_and(Vec::is_empty), "{command:?} once more became {again:?}");
        Ok(())
    }

    fn points(&self) -> Result<(), TestCaseError> {
        let points = self.session.course().map_or(&[][..], |course| &course.points);
        prop_assert!(points.is_sorted_by(|a, b| a.energy <= b.energy && a.at <= b.at), "believed readings never fall");
        Ok(())
    }

    /// Nothing is finished that cannot be billed, whatever idle time is assumed, but for a station without a tariff.
    fn bill(&self) -> Result<(), TestCaseError> {
        let Session::Finished { course, .. } = &self.session else { return Ok(()) };
        for until in [clock("10:00"), clock("13:00"), at("2099-01-01T00:00:00Z")] {
            let bill = self.session.decide(SessionCommand::Bill { plugged_until: Some(until) });
            match course.terms.tariff {
                Some(_) => prop_assert!(matches!(bill.as_deref(), Ok([SessionEvent::Billed { .. }])), "no bill, but {bill:?}"),
                None => prop_assert_eq!(bill, Err(SessionError::NoTariff)),
            }
        }
        Ok(())
    }

    fn money(&self) -> Result<(), TestCaseError> {
        let Session::Billed { course, bill, paid, is_settled, .. } = &self.session else { return Ok(()) };
        let mut told = Told::default();
        for event in &self.events {
            told.hear(event)?;
        }
        prop_assert!(told.later.iter().all(|(_, rest)| !rest.is_negative()), "no payment gives back more than it brought");
        prop_assert!(!told.captured.is_negative(), "the wallet gets back no more than it gave");
        let total = told.prepaid_applied + told.captured + told.later.iter().map(|(_, rest)| *rest).sum::<Money>();
        prop_assert_eq!(total, paid.total(), "the state counts as the events do");
        prop_assert!(!bill.total.is_negative() && bill.fees.iter().all(|fee| !fee.gross.is_negative()), "no part of a bill is negative");
        prop_assert_eq!(told.captured_ever, paid.captured_ever);
        if *is_settled {
            prop_assert_eq!(total + told.receivable, bill.total, "paid and receivable are what is due");
        }
        match course.terms.mode {
            PaymentMode::Prepaid { amount, .. } if told.is_settled && !course.is_unfunded => {
                prop_assert_eq!(told.prepaid_applied + told.given_back, amount, "the prepayment is used or given back, every fen of it");
            }
            PaymentMode::Prepaid { .. } | PaymentMode::Wallet { .. } | PaymentMode::Postpaid => {
                prop_assert!(told.prepaid_applied.is_zero() && told.given_back.is_zero());
            }
        }
        Ok(())
    }
}

/// What the events say about money, added up by somebody who knows nothing else.
#[derive(Default)]
struct Told {
    is_settled: bool,
    prepaid_applied: Money,
    given_back: Money,
    captured: Money,
    captured_ever: Money,
    later: Vec<(PaymentId, Money)>,
    receivable: Money,
}

impl Told {
    fn hear(&mut self, event: &SessionEvent) -> Result<(), TestCaseError> {
        match event {
            SessionEvent::Settled { prepaid_applied, captured, refund, refund_to, receivable, .. } => {
                self.is_settled = true;
                self.prepaid_applied += *prepaid_applied;
                self.captured += *captured;
                self.captured_ever += (*captured).max(Money::ZERO);
                self.receivable = *receivable;
                match self.later.iter_mut().find(|(payment, _)| Some(*payment) == *refund_to) {
                    Some((_, rest)) => *rest -= *refund,
                    None => self.given_back += *refund,
                }
                prop_assert!(!refund.is_negative() && !receivable.is_negative());
                prop_assert_eq!(refund.is_positive(), refund_to.is_some());
            }
            SessionEvent::ReceivablePaid { payment_id, amount, excess, receivable, .. } => {
                self.later.push((*payment_id, *amount));
                self.receivable = *receivable;
                prop_assert!(!amount.is_negative() && !excess.is_negative() && !receivable.is_negative());
            }
            _ => {}
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn money_records_and_readings_are_kept_whatever_happens(
        beginning in beginning(),
        commands in prop::collection::vec(command(), 0..60),
        later in time(),
    ) {
        let mut history = History::of(beginning);
        for command in commands {
            history.take(&command)?;
        }
        // A price that cannot be had is an error, never a crash.
        let _ = history.session.cost_so_far(later);
        prop_assert_eq!(state(history.events), history.session, "the state comes from its events alone");
    }

    #[test]
    fn what_a_device_reports_is_never_refused(beginning in beginning(), facts in prop::collection::vec(reported(), 0..40)) {
        let mut session = state(beginning);
        for fact in facts {
            let events = session.decide(fact.clone());
            prop_assert!(events.is_ok(), "{fact:?} was refused: {events:?}");
            session = events.iter().flatten().fold(session, |session, event| session.evolve(event));
        }
    }

    #[test]
    fn a_believed_energy_is_never_above_what_the_registers_say(beginning in beginning(), facts in prop::collection::vec(reported(), 0..40)) {
        let mut session = state(beginning);
        for fact in facts {
            let events = session.decide(fact).unwrap_or_default();
            for event in &events {
                if let SessionEvent::MeterRead { reading, energy, .. } = event {
                    prop_assert!(reading.register.judge().is_ok_and(|register| *energy <= register));
                }
                if let SessionEvent::RecordAccepted { record, energy, .. } = event {
                    prop_assert_eq!(record.energy.judge(), Ok(*energy), "what is billed is what the record says");
                }
            }
            session = events.iter().fold(session, |session, event| session.evolve(event));
        }
    }
}
