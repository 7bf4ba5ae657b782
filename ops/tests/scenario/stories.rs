//! One session a test: every mode, and every way out.

use std::sync::Arc;
use std::time::Duration;

use commands::payment::PayFor;
use commands::port::{ChannelReport, payment_no, refund_no};
use commands::process::{Action, Step};
use commands::session::{StartPayment, StartSession};
use commands::{CommandError, Commands};
use domain::connector::Connector;
use domain::event::Event;
use domain::ids::{PaymentId, SessionId};
use domain::log::{Recorded, StreamId};
use domain::payment::{Channel, Payment, PaymentCommand, PaymentEvent, PaymentStatus};
use domain::session::{DeviceFact, RefusalReason, Session, SessionError, SessionEvent, StopReason};
use sandbox::{Behaviour, DeviceMood, SimulatedGateway};

use crate::books::are_in_order;
use crate::broken::{Mood, Rates};
use crate::world::{World, connector, prepaid, reading, user, yuan};

const HOUR: i64 = 3_600;

pub(crate) async fn calm() -> World {
    let mut world = World::calm().await;
    world.start_managers().await;
    world
}

/// Payers pay when the test says so.
pub(crate) async fn with_slow_payers() -> World {
    let store = Arc::new(memory::MemoryStore::default());
    let mut world = World::new(store, 1, Rates::default(), Behaviour::Prompt, false).await;
    world.start_managers().await;
    world
}

pub(crate) async fn started(world: &World, number: u128, payment: StartPayment) -> SessionId {
    let requested = world.start(connector(number), user(0), payment).await.unwrap();
    world.settle_down().await;
    requested.session_id
}

pub(crate) async fn occupant(world: &World, number: u128) -> Option<SessionId> {
    world.load::<Connector>(&StreamId::connector(connector(number))).await.occupant()
}

pub(crate) fn bill(session: &Session) -> String {
    session.bill().unwrap().total.to_string()
}

pub(crate) fn paid(session: &Session) -> String {
    let Session::Billed { paid, is_settled: true, .. } = session else { panic!("{session:?}") };
    paid.total().to_string()
}

#[tokio::test(start_paused = true)]
async fn a_prepaid_session_is_charged_billed_settled_and_its_rest_refunded() {
    let world = calm().await;
    let session = started(&world, 2, prepaid("50")).await;
    assert!(matches!(world.session(session).await, Session::Starting { .. }));
    world.charge(session, "20", 60).await;
    world.settle_down().await;
    let done = world.session(session).await;
    assert_eq!((bill(&done), paid(&done)), ("24.00".to_owned(), "24.00".to_owned()));
    assert_eq!(world.channel.statement().unwrap().balance(), yuan("24"));
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_wallet_pays_a_session_and_keeps_the_rest() {
    let world = calm().await;
    world.top_up(user(0), "100").await;
    let session = started(&world, 2, StartPayment::Wallet { hold: yuan("50") }).await;
    assert_eq!(world.wallet(user(0)).await.available(), yuan("50"));
    world.charge(session, "20", 60).await;
    world.settle_down().await;
    assert_eq!(paid(&world.session(session).await), "24.00");
    assert_eq!(world.wallet(user(0)).await.available(), yuan("76"));
    world.edge.refund_wallet(&world.caller(), &world.request(), user(0), yuan("70"), None).await.unwrap();
    world.settle_down().await;
    assert_eq!(world.wallet(user(0)).await.balance(), yuan("6"));
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_is_billed_first_and_paid_later() {
    let world = calm().await;
    let session = started(&world, 2, StartPayment::Postpaid).await;
    world.charge(session, "20", 60).await;
    world.settle_down().await;
    assert_eq!(paid(&world.session(session).await), "0.00");
    assert_eq!(world.pay_for(session, "24.01").await.unwrap_err(), CommandError::NotOwed { owed: yuan("24"), asked: yuan("24.01") });
    world.pay_for(session, "10").await.unwrap();
    world.settle_down().await;
    world.pay_for(session, "14").await.unwrap();
    world.settle_down().await;
    assert_eq!(paid(&world.session(session).await), "24.00");
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn two_payments_for_one_debt_leave_one_and_send_one_back() {
    let world = with_slow_payers().await;
    let session = started(&world, 2, StartPayment::Postpaid).await;
    world.charge(session, "20", 60).await;
    world.settle_down().await;
    let (first, second) = (world.pay_for(session, "24").await.unwrap(), world.pay_for(session, "24").await.unwrap());
    world.settle_down().await;
    world.pays(first).await;
    world.pays(second).await;
    assert_eq!(world.channel.statement().unwrap().balance(), yuan("24"));
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_wallet_without_funds_starts_nothing() {
    let world = calm().await;
    let session = started(&world, 2, StartPayment::Wallet { hold: yuan("50") }).await;
    assert!(matches!(world.session(session).await, Session::NotStarted(_)));
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_sessions_on_one_connector_the_second_gets_its_money_back() {
    let world = with_slow_payers().await;
    // Both find the connector free, because neither has paid yet.
    let first = world.start(connector(2), user(0), prepaid("50")).await.unwrap();
    let second = world.start(connector(2), user(1), prepaid("50")).await.unwrap();
    world.settle_down().await;
    world.pays(first.payment_id.unwrap()).await;
    world.pays(second.payment_id.unwrap()).await;
    assert_eq!(occupant(&world, 2).await, Some(first.session_id));
    assert!(matches!(world.session(second.session_id).await, Session::NotStarted(_)));
    let refused = |recorded: &Recorded<Event>| match &recorded.event {
        Event::Session(SessionEvent::Refused { reason, .. }) => Some(reason.clone()),
        _ => None,
    };
    assert_eq!(world.log().await.iter().find_map(refused), Some(RefusalReason::ConnectorOccupied));
    assert_eq!(world.channel.statement().unwrap().balance(), yuan("50"));
    world.charge(first.session_id, "20", 60).await;
    world.settle_down().await;
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_device_that_refuses_or_is_not_there_costs_nothing() {
    for mood in [Mood::Refusing, Mood::Unreachable] {
        let world = calm().await;
        world.devices.set_mood(mood);
        let session = started(&world, 2, prepaid("50")).await;
        assert!(matches!(world.session(session).await, Session::NotStarted(_)));
        assert_eq!(world.channel.statement().unwrap().balance(), yuan("0"));
        are_in_order(&world).await;
    }
}

fn paid_report(world: &World, payment: PaymentId, amount: &str) -> ChannelReport {
    let transaction = format!("sandbox-{}", payment_no(payment));
    ChannelReport::Paid { payment_no: payment_no(payment), amount: yuan(amount), channel_transaction: transaction, paid_at: world.now() }
}

#[tokio::test(start_paused = true)]
async fn money_that_comes_after_the_closing_stands_apart_and_is_sent_back() {
    let mut world = with_slow_payers().await;
    let requested = world.start(connector(2), user(0), prepaid("50")).await.unwrap();
    let payment = requested.payment_id.unwrap();
    world.settle_down().await;
    // The channel has the money, and its report is held up; meanwhile the payment closes here, as it did before channels were told first.
    world.stop_managers().await;
    let stream = StreamId::payment(payment);
    let close = domain::payment::PaymentCommand::Close { payment_id: payment };
    let envelope = world.caller().envelope(world.message(), requested.session_id.0);
    world.edge.ledger.handle::<Payment>(&stream, close, &envelope).await.unwrap();
    world.pays(payment).await;
    assert_eq!(world.payment(payment).await.status(), PaymentStatus::ReceivedLate);
    world.start_managers().await;
    world.settle_down().await;
    let books = are_in_order(&world).await;
    assert!(books.digest().contains("2241=0.00"), "{}", books.digest());
    assert_eq!(world.count("payment.received_late").await, 1);
    assert_eq!(world.channel.statement().unwrap().balance(), yuan("0"));
}

#[tokio::test(start_paused = true)]
async fn a_top_up_that_came_too_late_goes_back_to_its_payment_and_not_out_of_the_wallet() {
    let mut world = with_slow_payers().await;
    let other = world.top_up(user(0), "30").await;
    world.pays(other).await;
    let payment = world.top_up(user(0), "50").await;
    world.stop_managers().await;
    world.edge.close_payment(&world.caller(), &world.request(), payment).await.unwrap();
    world.edge.channel_report(paid_report(&world, payment, "50")).await.unwrap();
    let ids = world.request();
    for _ in 0..2 {
        let refunding = world.edge.refund_payment(&world.caller(), &ids, payment, yuan("50"), "late".into()).await.unwrap();
        assert!(refunding.refund_id.is_some());
    }
    assert_eq!(world.wallet(user(0)).await.balance(), yuan("30"));
    assert_eq!(world.payment(payment).await.refundable(), yuan("0"));
    assert_eq!(world.payment(other).await.refundable(), yuan("30"));
}

/// What the channel was told of each refund, in the order in which the ledger asked for them.
async fn told(world: &World) -> Vec<String> {
    let log = world.log().await;
    let numbers = log.iter().filter_map(|recorded| match &recorded.event {
        Event::Payment(PaymentEvent::RefundRequested { refund_no, .. }) => Some(refund_no.clone()),
        _ => None,
    });
    numbers.filter_map(|number| world.channel.refund_reason(&number).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_staff_wrote_is_what_the_channel_is_told() {
    let world = calm().await;
    let requested = world.start(connector(2), user(0), prepaid("50")).await.unwrap();
    world.settle_down().await;
    world.charge(requested.session_id, "20", 60).await;
    world.settle_down().await;
    let caller = world.caller();
    let refund = |payment, why: String| {
        let (ids, caller, edge) = (world.request(), &caller, &world.edge);
        async move { edge.refund_payment(caller, &ids, payment, yuan("4"), why).await.unwrap() }
    };
    refund(requested.payment_id.unwrap(), "the cable was broken".to_owned()).await;
    world.settle_down().await;
    let top_up = world.top_up(user(1), "60").await;
    world.settle_down().await;
    refund(top_up, "枪".repeat(100)).await;
    world.settle_down().await;
    world.edge.refund_wallet(&caller, &world.request(), user(1), yuan("3"), Some("moved away".to_owned())).await.unwrap();
    world.settle_down().await;
    world.edge.refund_wallet(&caller, &world.request(), user(1), yuan("2"), None).await.unwrap();
    world.settle_down().await;
    let cut = format!("{}…", "枪".repeat(79));
    assert_eq!(told(&world).await, ["what the session did not use", "the cable was broken", &cut, "moved away", "refund of the wallet"]);
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_never_heard_of_a_refund_is_told_why_when_it_is_asked() {
    let mut world = calm().await;
    let payment_id = world.top_up(user(0), "50").await;
    world.stop_managers().await;
    let (refund_id, reason) = (domain::testing::id(70), "paid twice".to_owned());
    let refund_no = refund_no(payment_id, refund_id);
    let request = PaymentCommand::RequestRefund { payment_id, refund_id, amount: yuan("50"), refund_no, reason };
    let envelope = world.caller().envelope(world.message(), payment_id.0);
    world.edge.ledger.handle::<Payment>(&StreamId::payment(payment_id), request, &envelope).await.unwrap();
    assert_eq!(told(&world).await, Vec::<String>::new());
    let cause = world.log().await.pop().unwrap().metadata;
    let ask = Step::new("ask after refund", Action::AskAfterRefund { payment_id, refund_id });
    world.edge.perform(&ask, &cause).await.unwrap();
    assert_eq!(told(&world).await, ["paid twice"]);
}

#[tokio::test(start_paused = true)]
async fn the_same_report_again_changes_nothing() {
    let world = calm().await;
    let requested = world.start(connector(2), user(0), prepaid("50")).await.unwrap();
    world.settle_down().await;
    let head = world.store.head().await.unwrap();
    let again = world.channel_report_of(requested.payment_id.unwrap()).await;
    for _ in 0..3 {
        assert!(world.edge.channel_report(again.clone()).await.unwrap().repeated);
        assert!(world.process().channel_report(again.clone()).await.unwrap().repeated);
    }
    assert_eq!(world.store.head().await.unwrap(), head);
}

#[tokio::test(start_paused = true)]
async fn funds_at_zero_stop_the_session() {
    let world = calm().await;
    let session = started(&world, 2, prepaid("12")).await;
    world.report(session, DeviceFact::Started { meter: reading("0", world.now()) }).await;
    world.clock.advance(600);
    world.report(session, DeviceFact::Meter { reading: reading("10", world.now()) }).await;
    world.settle_down().await;
    assert!(world.devices.is_stopped(session));
}

#[tokio::test(start_paused = true)]
async fn a_stop_asked_for_while_the_device_starts_reaches_it() {
    let world = calm().await;
    let session = started(&world, 2, prepaid("50")).await;
    world.edge.stop_session(&world.caller(), &world.request(), session, StopReason::User).await.unwrap();
    world.settle_down().await;
    assert!(world.devices.is_stopped(session));
}

#[tokio::test(start_paused = true)]
async fn what_a_session_still_needs_is_not_refunded_and_what_it_paid_comes_back_by_a_credit() {
    let world = calm().await;
    let requested = world.start(connector(2), user(0), prepaid("50")).await.unwrap();
    let (session, payment) = (requested.session_id, requested.payment_id.unwrap());
    world.settle_down().await;
    let caller = world.caller();
    let refund = |ids, amount| world.edge.refund_payment(&caller, ids, payment, yuan(amount), "complaint".into());
    let ids = world.request();
    assert_eq!(refund(&ids, "10").await.unwrap_err(), CommandError::Session(SessionError::NotBilled));
    world.charge(session, "20", 60).await;
    world.settle_down().await;
    // The same request again is one credit, also while what it gives back is still on its way, and after that.
    world.wire.block(Some("payment"));
    for _ in 0..2 {
        refund(&ids, "4").await.unwrap();
        world.settle_down().await;
    }
    world.wire.block(None);
    world.settle_down().await;
    refund(&ids, "4").await.unwrap();
    world.settle_down().await;
    assert_eq!((bill(&world.session(session).await), paid(&world.session(session).await)), ("20.00".to_owned(), "20.00".to_owned()));
    assert_eq!(world.channel.statement().unwrap().balance(), yuan("20"));
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_session_nobody_asked_for_is_billed_and_owed_by_nobody_known() {
    let world = calm().await;
    let session = SessionId::of_transaction(domain::testing::id(401), "offline-1");
    let record = crate::world::record(world.now().plus_seconds(-HOUR), world.now(), "20");
    let fact = DeviceFact::Record { record };
    world.edge.device_fact(&world.device(), world.message(), connector(2), session, fact).await.unwrap();
    world.settle_down().await;
    assert_eq!(bill(&world.session(session).await), "24.00");
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_again_is_the_same_session() {
    let world = calm().await;
    let ids = world.request();
    let start = StartSession { connector_id: connector(2), user_id: user(0), payment: prepaid("50") };
    let first = world.edge.start_session(&world.caller(), &ids, start).await.unwrap();
    world.settle_down().await;
    world.clock.advance(10);
    let again = world.process().start_session(&world.caller(), &ids, start).await.unwrap();
    assert_eq!((again.session_id, again.payment_id, again.position), (first.session_id, first.payment_id, first.position));
    world.settle_down().await;
    assert_eq!(world.count("session.requested").await, 1);
}

#[tokio::test(start_paused = true)]
async fn simulated_devices_begin_by_themselves() {
    let mut world = World::calm().await;
    let (gateway, begun) = SimulatedGateway::new(DeviceMood::Willing);
    let edge = world.process();
    let commands = Arc::new(Commands {
        ledger: Arc::clone(&edge.ledger),
        channels: edge.channels.clone(),
        devices: Arc::new(gateway),
        subjects: Arc::clone(&edge.subjects),
    });
    tokio::spawn(sandbox::speak(begun, Arc::clone(&commands)));
    world.edge = commands;
    world.start_managers_of(Arc::clone(&world.edge)).await;
    let requested = world.start(connector(2), user(0), prepaid("50")).await.unwrap();
    let started = world.edge.await_start(requested.session_id, Duration::from_secs(10)).await.unwrap();
    assert!(matches!(started.state, Session::Charging(_)), "{:?}", started.state);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_start_is_answered_in_time_also_without_one() {
    let world = World::calm().await;
    let requested = world.start(connector(2), user(0), prepaid("50")).await.unwrap();
    let waiting = world.edge.await_start(requested.session_id, Duration::from_secs(10)).await.unwrap();
    assert!(matches!(waiting.state, Session::Requested(_)));
}

impl World {
    pub(crate) async fn pay_for(&self, session: SessionId, amount: &str) -> Result<PaymentId, CommandError> {
        let pay_for = PayFor::Session(session);
        Ok(self.edge.pay(&self.caller(), &self.request(), user(0), Channel::Sandbox, pay_for, yuan(amount)).await?.0)
    }

    async fn channel_report_of(&self, payment: PaymentId) -> ChannelReport {
        use commands::port::PaymentChannel as _;
        self.channel.query(&payment_no(payment)).await.unwrap().unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_clients_key_is_bound_to_its_body_for_ever() {
    let world = calm().await;
    let caller = world.caller();
    let seed = |edge: Arc<Commands>, key: Option<&'static str>, body: &'static str| {
        let caller = caller.clone();
        async move { edge.accept(&caller, "app", key, body).await }
    };
    let first = seed(Arc::clone(&world.edge), Some("k"), "body").await.unwrap();
    assert_eq!(seed(Arc::clone(&world.edge), Some("k"), "body").await.unwrap(), first);
    assert_eq!(seed(world.process(), Some("k"), "body").await.unwrap(), first);
    let other = seed(world.process(), Some("k"), "another body").await;
    assert_eq!(other, Err(CommandError::Request(domain::request::RequestError::KeyReused)));
    assert_ne!(seed(world.process(), Some("l"), "body").await.unwrap(), first);
    assert_ne!(seed(world.process(), None, "body").await.unwrap(), seed(world.process(), None, "body").await.unwrap());
    // An answer that was lost is found again, too.
    world.wire.fail_next(crate::broken::Fault::LostAnswer);
    let edge = world.process();
    seed(Arc::clone(&edge), Some("m"), "body").await.unwrap_err();
    assert_eq!(seed(edge, Some("m"), "body").await.unwrap(), seed(world.process(), Some("m"), "body").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn another_operators_things_look_as_if_they_were_not_there() {
    let world = calm().await;
    let session = started(&world, 2, prepaid("50")).await;
    let stranger = commands::Caller { operator_id: domain::testing::id(99), ..world.caller() };
    let not_found = |error: CommandError| matches!(error, CommandError::NotFound { .. });
    assert!(not_found(world.edge.session(&stranger, session).await.unwrap_err()));
    assert!(not_found(world.edge.stop_session(&stranger, &world.request(), session, StopReason::User).await.unwrap_err()));
    let start = StartSession { connector_id: connector(3), user_id: user(0), payment: prepaid("50") };
    assert!(not_found(world.edge.start_session(&stranger, &world.request(), start).await.unwrap_err()));
    assert!(not_found(world.edge.refund_wallet(&stranger, &world.request(), user(0), yuan("1"), None).await.unwrap_err()));
    let fact = DeviceFact::Started { meter: reading("0", world.now()) };
    assert!(not_found(world.edge.device_fact(&stranger, world.message(), connector(2), session, fact.clone()).await.unwrap_err()));
    // And a device speaks of its own connector only.
    assert!(not_found(world.edge.device_fact(&world.device(), world.message(), connector(3), session, fact).await.unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_hand_is_not_taken_for_done() {
    let mut world = calm().await;
    // One story cannot go on, others can; then the managers stop and keep their place.
    world.wire.block(Some("payment"));
    let stuck = world.start(connector(2), user(0), prepaid("50")).await.unwrap();
    let other = world.start(connector(3), user(1), StartPayment::Postpaid).await.unwrap();
    world.settle_down().await;
    assert!(matches!(world.session(other.session_id).await, Session::Starting { .. }));
    world.stop_managers().await;
    world.wire.block(None);
    world.start_managers().await;
    world.settle_down().await;
    assert!(matches!(world.session(stuck.session_id).await, Session::Starting { .. }));
}
