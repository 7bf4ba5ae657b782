//! Every deadline, under a clock that is moved by hand: what must not wait for ever does not, and what is alive is left alone.

use std::sync::Arc;

use commands::Caller;
use commands::payment::PayFor;
use commands::port::payment_no;
use commands::session::{StartPayment, StartSession};
use domain::log::{Actor, StreamId};
use domain::payment::{Channel, PaymentStatus};
use domain::session::{DeviceFact, Session, SessionCommand, StopReason};
use sandbox::Behaviour;

use crate::books::are_in_order;
use crate::broken::{Mood, Rates};
use crate::stories::{bill, calm, occupant, paid, started, with_slow_payers};
use crate::world::{World, connector, prepaid, reading, record, user, yuan};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

#[tokio::test(start_paused = true)]
async fn a_start_that_nobody_confirms_times_out_and_everything_goes_back() {
    let world = calm().await;
    let session = started(&world, 2, prepaid("50")).await;
    world.pass(59, 59).await;
    assert!(matches!(world.session(session).await, Session::Starting { .. }));
    world.pass(2, 2).await;
    assert!(matches!(world.session(session).await, Session::NotStarted(_)));
    assert_eq!(world.channel.statement().unwrap().balance(), yuan("0"));
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn an_order_reaches_a_device_once_and_never_after_its_time() {
    let mut world = World::calm().await;
    let requested = world.start(connector(2), user(0), StartPayment::Postpaid).await.unwrap();
    world.start_managers().await;
    world.settle_down().await;
    assert_eq!(world.devices.orders.lock().unwrap().len(), 1);
    let order = world.devices.orders.lock().unwrap()[0].clone();
    assert_eq!(order.expires_at, world.now().plus_seconds(60));
    // Managers that begin again within the minute repeat the order under its own id; later they do not.
    world.crash_managers().await;
    world.start_managers().await;
    world.settle_down().await;
    let ids = || world.devices.orders.lock().unwrap().iter().map(|order| order.command_id).collect::<Vec<_>>();
    assert!(ids().iter().all(|id| *id == order.command_id));
    let before = ids().len();
    world.crash_managers().await;
    world.clock.advance(61);
    world.start_managers().await;
    world.settle_down().await;
    assert_eq!(world.devices.orders.lock().unwrap().len(), before);
    assert!(matches!(world.session(requested.session_id).await, Session::NotStarted(_)));
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_waited_too_long_for_its_managers_is_not_sent_at_all() {
    let mut world = World::calm().await;
    world.start_managers().await;
    world.devices.set_mood(Mood::Unreachable);
    world.stop_managers().await;
    let requested = world.start(connector(2), user(0), StartPayment::Postpaid).await.unwrap();
    // Played by hand up to the order, which then lies there.
    let starting = SessionCommand::BeginStart { expires_at: world.now().plus_seconds(60) };
    let stream = StreamId::session(requested.session_id);
    for command in [SessionCommand::Authorise, starting] {
        let envelope = world.caller().envelope(world.message(), requested.session_id.0);
        world.edge.ledger.handle::<Session>(&stream, command, &envelope).await.unwrap();
    }
    world.clock.advance(61);
    world.start_managers().await;
    world.settle_down().await;
    assert_eq!(world.devices.orders.lock().unwrap().len(), 0);
    assert!(matches!(world.session(requested.session_id).await, Session::NotStarted(_)));
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn an_unpaid_order_closes_at_the_channel_and_then_here() {
    let world = with_slow_payers().await;
    let requested = world.start(connector(2), user(0), prepaid("50")).await.unwrap();
    let payment = requested.payment_id.unwrap();
    world.pass(14 * 60, 60).await;
    assert_eq!(world.payment(payment).await.status(), PaymentStatus::Open);
    world.pass(61, 61).await;
    assert_eq!(world.payment(payment).await.status(), PaymentStatus::Closed);
    assert!(matches!(world.session(requested.session_id).await, Session::NotStarted(_)));
    assert!(world.channel.pay(&payment_no(payment), world.now()).await.is_err(), "a closed order takes no money");
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_payment_whose_report_never_comes_is_asked_after_soon() {
    let store = Arc::new(memory::MemoryStore::default());
    let mut world = World::new(store, 1, Rates::default(), Behaviour::Silent, false).await;
    world.start_managers().await;
    let requested = world.start(connector(2), user(0), prepaid("50")).await.unwrap();
    world.settle_down().await;
    world.pays(requested.payment_id.unwrap()).await;
    assert_eq!(world.payment(requested.payment_id.unwrap()).await.status(), PaymentStatus::Open);
    world.pass(31, 31).await;
    assert_eq!(world.payment(requested.payment_id.unwrap()).await.status(), PaymentStatus::Succeeded);
    assert!(matches!(world.session(requested.session_id).await, Session::Starting { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_refund_without_an_answer_is_asked_for_again_under_the_same_number() {
    // Of a channel that is silent about everything, only questions bring news.
    let store = Arc::new(memory::MemoryStore::default());
    let mut world = World::new(store, 1, Rates::default(), Behaviour::Silent, true).await;
    world.start_managers().await;
    let requested = world.start(connector(2), user(0), prepaid("50")).await.unwrap();
    world.settle_down().await;
    world.pass(31, 31).await;
    world.charge(requested.session_id, "20", 60).await;
    world.settle_down().await;
    assert_eq!(world.count("payment.refund_requested").await, 1);
    assert_eq!(world.count("payment.refund_succeeded").await, 0);
    world.pass(61, 61).await;
    assert_eq!(world.count("payment.refund_succeeded").await, 1);
    assert_eq!(world.channel.statement().unwrap().balance(), yuan("24"), "the channel has given back once");
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_session_is_given_up_and_news_in_time_keeps_it() {
    let world = calm().await;
    let session = started(&world, 2, prepaid("50")).await;
    world.report(session, DeviceFact::Started { meter: reading("0", world.now()) }).await;
    world.pass(5 * HOUR, HOUR).await;
    world.report(session, DeviceFact::Meter { reading: reading("5", world.now()) }).await;
    world.pass(5 * HOUR, HOUR).await;
    assert!(matches!(world.session(session).await, Session::Charging(_)));
    world.pass(HOUR + 1, HOUR + 1).await;
    assert!(matches!(world.session(session).await, Session::Ended { .. }));
    assert_eq!(occupant(&world, 2).await, None);
    // The truth comes after all.
    let record = record(world.now().plus_seconds(-11 * HOUR), world.now(), "20");
    world.report(session, DeviceFact::Record { record }).await;
    world.settle_down().await;
    assert_eq!(paid(&world.session(session).await), "24.00");
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn news_that_came_while_nobody_watched_keeps_a_session() {
    let mut world = calm().await;
    let session = started(&world, 2, prepaid("50")).await;
    world.report(session, DeviceFact::Started { meter: reading("0", world.now()) }).await;
    world.settle_down().await;
    world.stop_managers().await;
    world.clock.advance(5 * HOUR);
    world.report(session, DeviceFact::Meter { reading: reading("5", world.now()) }).await;
    world.clock.advance(2 * HOUR);
    // Seven hours after what the managers saw last, and two after what was reported.
    world.start_managers().await;
    world.settle_down().await;
    assert!(matches!(world.session(session).await, Session::Charging(_)));
}

#[tokio::test(start_paused = true)]
async fn a_stop_without_a_record_is_given_up_after_a_day_and_closed_by_hand() {
    let world = calm().await;
    let session = started(&world, 0, prepaid("50")).await;
    world.report(session, DeviceFact::Started { meter: reading("0", world.now()) }).await;
    let stopped = DeviceFact::Stopped { reason: StopReason::Local, meter: None, stopped_at: world.now() };
    world.report(session, stopped).await;
    world.pass(DAY - HOUR, HOUR).await;
    assert_eq!(occupant(&world, 0).await, Some(session));
    world.pass(HOUR + 1, HOUR + 1).await;
    assert_eq!(occupant(&world, 0).await, None);
    let (caller, ids, ended_at) = (world.caller(), world.request(), world.now());
    world.edge.close_session(&caller, &ids, session, "10".parse().unwrap(), ended_at, "lost".into()).await.unwrap();
    world.settle_down().await;
    // Nobody saw how long the vehicle stood there, so nobody pays for it.
    assert_eq!(paid(&world.session(session).await), "12.00");
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_vehicle_that_stays_pays_for_it_when_it_leaves() {
    let world = calm().await;
    let session = started(&world, 0, prepaid("50")).await;
    world.charge(session, "20", 60).await;
    world.pass(HOUR, HOUR).await;
    assert!(matches!(world.session(session).await, Session::Finished { .. }));
    assert_eq!(occupant(&world, 0).await, Some(session));
    world.report(session, DeviceFact::Unplugged { unplugged_at: world.now() }).await;
    world.settle_down().await;
    // 24.00 for the energy; of 60 minutes 10 are free, and 50 cost 0.50 each.
    assert_eq!((bill(&world.session(session).await), paid(&world.session(session).await)), ("49.00".to_owned(), "49.00".to_owned()));
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn a_vehicle_that_never_leaves_is_billed_after_a_day() {
    let world = calm().await;
    let session = started(&world, 0, prepaid("50")).await;
    world.charge(session, "20", 60).await;
    world.pass(DAY - HOUR, HOUR).await;
    assert!(matches!(world.session(session).await, Session::Finished { .. }));
    world.pass(HOUR + 1, HOUR + 1).await;
    assert_eq!(bill(&world.session(session).await), "54.00", "the idle fee has a most of 30.00");
    assert_eq!(paid(&world.session(session).await), "50.00");
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_import_began_waits_for_it_and_for_nobody_else() {
    let world = with_slow_payers().await;
    let import = || Caller { actor: Actor::system("generated test"), ..world.caller() };
    let start = async |caller: Caller, number, payment| {
        let start = StartSession { connector_id: connector(number), user_id: user(0), payment };
        world.edge.start_session(&caller, &world.request(), start).await.unwrap()
    };
    let unpaid = start(import(), 0, prepaid("50")).await;
    let starting = start(import(), 1, StartPayment::Postpaid).await;
    let top_up = world.edge.pay(&import(), &world.request(), user(1), Channel::Sandbox, PayFor::TopUp, yuan("9")).await.unwrap().0;
    // The same by somebody else, to see that time has passed.
    let real_unpaid = start(world.caller(), 2, prepaid("50")).await;
    let real_starting = start(world.caller(), 3, StartPayment::Postpaid).await;
    let real_top_up = world.top_up(user(2), "9").await;
    world.settle_down().await;
    assert_eq!(world.devices.orders.lock().unwrap().len(), 1, "nobody but the import plays its devices");
    world.pass(2 * DAY, HOUR).await;
    for payment in [unpaid.payment_id.unwrap(), top_up] {
        assert_eq!(world.payment(payment).await.status(), PaymentStatus::Open);
    }
    for payment in [real_unpaid.payment_id.unwrap(), real_top_up] {
        assert_eq!(world.payment(payment).await.status(), PaymentStatus::Closed);
    }
    assert!(matches!(world.session(starting.session_id).await, Session::Starting { .. }));
    assert!(matches!(world.session(real_starting.session_id).await, Session::NotStarted(_)));
    // It goes on as if nothing had been.
    world.pays(unpaid.payment_id.unwrap()).await;
    world.pays(top_up).await;
    for session in [unpaid.session_id, starting.session_id] {
        world.charge(session, "20", 60).await;
        world.report(session, DeviceFact::Unplugged { unplugged_at: world.now() }).await;
        world.settle_down().await;
        assert_eq!(bill(&world.session(session).await), "24.00");
    }
    are_in_order(&world).await;
}
