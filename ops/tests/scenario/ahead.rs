//! A session that is asked for while its connector is still in use: the wish is judged at once, but for the connector, which has to be free when the money is there.

use commands::session::{Requested, StartPayment, StartSession};
use commands::{Caller, CommandError};
use domain::connector::ConnectorError;
use domain::ids::{ConnectorId, PileId, StationId, UserId};
use domain::payment::{Channel, PaymentStatus};
use domain::pile::{CurrentKind, PileDetails};
use domain::session::{DeviceFact, Session};
use domain::station::{Datum, Place, StationDetails};
use domain::testing::id;
use domain::time::ZoneName;
use domain::user::UserError;

use crate::books::are_in_order;
use crate::stories::{bill, calm, occupant, started, with_slow_payers};
use crate::world::{World, connector, prepaid, user, yuan};

async fn ahead(world: &World, caller: &Caller, start: StartSession) -> Result<Requested, CommandError> {
    world.edge.start_session_ahead(caller, &world.request(), start).await
}

fn wish(connector_id: ConnectorId, user_id: UserId, payment: StartPayment) -> StartSession {
    StartSession { connector_id, user_id, payment }
}

/// Somebody charges here until `end` is called.
async fn in_use(world: &World, number: u128) -> domain::ids::SessionId {
    let session = started(world, number, StartPayment::Postpaid).await;
    world.report(session, DeviceFact::Started { meter: crate::world::reading("0", world.now()) }).await;
    world.settle_down().await;
    assert_eq!(occupant(world, number).await, Some(session));
    session
}

async fn end(world: &World, session: domain::ids::SessionId) {
    let now = world.now();
    world.report(session, DeviceFact::Record { record: crate::world::record(now.plus_seconds(-3_600), now, "20") }).await;
    world.settle_down().await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_ahead_pays_when_the_connector_is_free_and_charges() {
    let world = with_slow_payers().await;
    let first = in_use(&world, 2).await;
    let start = wish(connector(2), user(1), prepaid("50"));
    let now = world.edge.start_session(&world.caller(), &world.request(), start).await;
    assert_eq!(now.unwrap_err(), CommandError::Connector(ConnectorError::Occupied { session: first }));
    let next = ahead(&world, &world.caller(), start).await.unwrap();
    world.settle_down().await;
    assert!(matches!(world.session(next.session_id).await, Session::Requested(_)));
    assert_eq!(world.payment(next.payment_id.unwrap()).await.status(), PaymentStatus::Open);
    end(&world, first).await;
    world.pays(next.payment_id.unwrap()).await;
    assert_eq!(occupant(&world, 2).await, Some(next.session_id));
    world.charge(next.session_id, "10", 30).await;
    world.settle_down().await;
    assert_eq!(bill(&world.session(next.session_id).await), "12.00");
    assert_eq!(world.channel.statement().unwrap().balance(), yuan("12"));
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn who_asks_ahead_and_pays_too_early_gets_it_all_back() {
    let world = with_slow_payers().await;
    let first = in_use(&world, 2).await;
    let next = ahead(&world, &world.caller(), wish(connector(2), user(1), prepaid("50"))).await.unwrap();
    world.settle_down().await;
    world.pays(next.payment_id.unwrap()).await;
    assert!(matches!(world.session(next.session_id).await, Session::NotStarted(_)));
    assert_eq!(occupant(&world, 2).await, Some(first));
    assert_eq!(world.channel.statement().unwrap().balance(), yuan("0"));
    end(&world, first).await;
    are_in_order(&world).await;
}

#[tokio::test(start_paused = true)]
async fn asking_ahead_again_is_the_same_session() {
    let world = with_slow_payers().await;
    let first = in_use(&world, 2).await;
    let (ids, start) = (world.request(), wish(connector(2), user(1), prepaid("50")));
    let asked = world.edge.start_session_ahead(&world.caller(), &ids, start).await.unwrap();
    let again = world.process().start_session_ahead(&world.caller(), &ids, start).await.unwrap();
    assert_eq!((again.session_id, again.payment_id, again.position), (asked.session_id, asked.payment_id, asked.position));
    assert_eq!(world.count("session.requested").await, 2);
    end(&world, first).await;
}

#[tokio::test(start_paused = true)]
async fn a_connector_or_a_user_that_is_not_there_or_somebody_elses_is_not_found() {
    let world = calm().await;
    let stranger = Caller { operator_id: id(99), ..world.caller() };
    let missing = |what: &'static str, id: String| CommandError::NotFound { what, id };
    let good = wish(connector(2), user(0), prepaid("50"));
    let nowhere = StartSession { connector_id: id(999), ..good };
    let nobody = StartSession { user_id: id(999), ..good };
    assert_eq!(ahead(&world, &world.caller(), nowhere).await.unwrap_err(), missing("connector", nowhere.connector_id.to_string()));
    assert_eq!(ahead(&world, &world.caller(), nobody).await.unwrap_err(), missing("user", nobody.user_id.to_string()));
    assert_eq!(ahead(&world, &stranger, good).await.unwrap_err(), missing("connector", good.connector_id.to_string()));
    assert_eq!(world.count("session.requested").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_user_who_has_gone_asks_for_nothing() {
    let world = calm().await;
    world.edge.close_user(&world.caller(), &world.request(), user(0)).await.unwrap();
    world.edge.erase_user(&world.caller(), &world.request(), user(1)).await.unwrap();
    for (who, refusal) in [(user(0), UserError::Closed), (user(1), UserError::Erased)] {
        let refused = ahead(&world, &world.caller(), wish(connector(2), who, prepaid("50"))).await;
        assert_eq!(refused.unwrap_err(), CommandError::User(refusal));
    }
    assert_eq!(world.count("session.requested").await, 0);
}

#[tokio::test(start_paused = true)]
async fn without_prices_or_the_channel_nothing_is_asked_for() {
    let world = calm().await;
    let (caller, station, pile, plug) = (world.caller(), id::<StationId>(250), id::<PileId>(450), id::<ConnectorId>(550));
    let place = Place { longitude: "114.1".parse().unwrap(), latitude: "22.5".parse().unwrap(), datum: Datum::Wgs84 };
    let details = StationDetails { name: "s".into(), address: "a".into(), place };
    world.edge.register_station(&caller, &world.request(), station, "S9".into(), details, ZoneName::shanghai()).await.unwrap();
    let details = PileDetails { model: "m".into(), current: CurrentKind::Dc, rated_power: "120".parse().unwrap() };
    world.edge.register_pile(&caller, &world.request(), pile, station, "P9".into(), details).await.unwrap();
    world.edge.register_connector(&caller, &world.request(), plug, pile, 1).await.unwrap();
    let unpriced = ahead(&world, &caller, wish(plug, user(0), prepaid("50"))).await;
    assert_eq!(unpriced.unwrap_err(), CommandError::NoTariffInForce { station: station.to_string() });
    let payment = StartPayment::Prepaid { amount: yuan("50"), channel: Channel::Alipay };
    let elsewhere = ahead(&world, &caller, wish(connector(2), user(0), payment)).await;
    assert_eq!(elsewhere.unwrap_err(), CommandError::ChannelNotConfigured { channel: "alipay" });
    assert_eq!(world.count("session.requested").await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_connector_out_of_service_is_found_out_when_the_money_is_there() {
    let world = with_slow_payers().await;
    world.edge.retire_connector(&world.caller(), &world.request(), connector(3)).await.unwrap();
    let start = wish(connector(3), user(0), prepaid("50"));
    let now = world.edge.start_session(&world.caller(), &world.request(), start).await;
    assert!(matches!(now.unwrap_err(), CommandError::Connector(_)));
    let next = ahead(&world, &world.caller(), start).await.unwrap();
    world.settle_down().await;
    world.pays(next.payment_id.unwrap()).await;
    assert!(matches!(world.session(next.session_id).await, Session::NotStarted(_)));
    assert_eq!(world.channel.statement().unwrap().balance(), yuan("0"));
    are_in_order(&world).await;
}
