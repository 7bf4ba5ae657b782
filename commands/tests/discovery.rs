//! What a session costs that nobody asked the ledger for: a device began it by itself, and reports it afterwards.

mod support;

use std::sync::Arc;

use commands::{Caller, Commands, RequestIds};
use domain::ids::{CommandId, ConnectorId, SessionId, StationId, TariffId};
use domain::log::Actor;
use domain::pile::{CurrentKind, PileDetails};
use domain::session::{DeviceFact, MeterReading, StopReason, TransactionRecord};
use domain::station::{Datum, Place, StationDetails};
use domain::tariff::{HalfHours, Rate, Rates, TariffElement, TariffTerms, TaxRates, TouPeriod};
use domain::testing::{at, id};
use domain::time::ZoneName;
use support::BreakableStore;
use support::keys::Keys;

/// The ledger's clock in these tests stands at this time.
const NOW: &str = "2026-03-01T08:00:00Z";
/// When the second version of the tariff takes effect.
const CHANGE: &str = "2026-03-01T00:00:00Z";

fn station() -> StationId {
    id(3)
}

fn tariff() -> TariffId {
    id(2)
}

fn connector() -> ConnectorId {
    id(5)
}

fn caller(time: &str) -> Caller {
    Caller { operator_id: id(1), actor: Actor::system("test"), at: at(time) }
}

fn request(number: u128) -> RequestIds {
    RequestIds::new(id(number))
}

fn terms(energy: &str) -> TariffTerms {
    let rate = Rate { energy: energy.parse().unwrap(), service: "0.4".parse().unwrap() };
    let rates = Rates { sharp: rate, peak: rate, flat: rate, valley: rate };
    let element = TariffElement { restrictions: Default::default(), half_hours: HalfHours::all(TouPeriod::Flat), rates };
    let tax = TaxRates { energy: "13".parse().unwrap(), service: "6".parse().unwrap(), idle: "6".parse().unwrap() };
    TariffTerms { elements: vec![element], idle: None, tax }
}

async fn publish(commands: &Commands, energy: &str, effective_from: &str) {
    let (made, ids) = (caller("2026-01-01T00:00:00Z"), RequestIds::new(id(1_000 + u128::from(energy.as_bytes()[2]))));
    commands.publish_tariff(&made, &ids, tariff(), "t".into(), at(effective_from), terms(energy)).await.unwrap();
}

/// A connector at a station whose tariff has its first version since January, and its second since [`CHANGE`].
async fn a_connector_under_two_versions() -> Commands {
    let commands = support::commands(&BreakableStore::new(), &Arc::new(Keys::default()));
    let made = caller("2026-01-01T00:00:00Z");
    let code = "OPERATOR1".parse().unwrap();
    commands.register_operator(&made, &request(100), code, "o".into(), ZoneName::shanghai(), Default::default()).await.unwrap();
    let place = Place { longitude: "114.1".parse().unwrap(), latitude: "22.5".parse().unwrap(), datum: Datum::Wgs84 };
    let details = StationDetails { name: "Futian".into(), address: String::new(), place };
    commands.register_station(&made, &request(103), station(), "S1".into(), details, ZoneName::shanghai()).await.unwrap();
    publish(&commands, "0.8", "2026-01-01T00:00:00Z").await;
    publish(&commands, "1.2", CHANGE).await;
    commands.assign_tariff(&made, &request(104), station(), tariff()).await.unwrap();
    let details = PileDetails { model: "m".into(), current: CurrentKind::Dc, rated_power: "60".parse().unwrap() };
    commands.register_pile(&made, &request(105), id(4), station(), "P1".into(), details).await.unwrap();
    commands.register_connector(&made, &request(106), connector(), id(4), 1).await.unwrap();
    commands
}

/// The version by which a session is priced that is known only by its record; none when it has no price.
async fn version_of_a_record(commands: &Commands, started_at: &str, ended_at: &str) -> Option<u32> {
    let record = TransactionRecord {
        transaction_number: "local-1".to_owned(),
        started_at: at(started_at),
        ended_at: at(ended_at),
        meter_start: "100".parse().unwrap(),
        meter_end: "120".parse().unwrap(),
        energy: "20".parse().unwrap(),
        reason: StopReason::Local,
    };
    version(commands, ended_at, DeviceFact::Record { record }).await
}

async fn version(commands: &Commands, time: &str, fact: DeviceFact) -> Option<u32> {
    let session: SessionId = id(9);
    let done = commands.device_fact(&caller(time), id::<CommandId>(200), connector(), session, fact).await.unwrap();
    done.state.terms().unwrap().tariff.as_ref().map(|tariff| tariff.version)
}

fn started(time: &str) -> DeviceFact {
    DeviceFact::Started { meter: MeterReading { register: "100".parse().unwrap(), read_at: at(time) } }
}

#[tokio::test]
async fn a_session_known_by_its_record_is_priced_by_the_version_of_its_beginning() {
    let commands = a_connector_under_two_versions().await;
    assert_eq!(version_of_a_record(&commands, "2026-02-28T23:00:00Z", "2026-03-01T00:30:00Z").await, Some(1));
    let commands = a_connector_under_two_versions().await;
    assert_eq!(version_of_a_record(&commands, CHANGE, "2026-03-01T00:30:00Z").await, Some(2));
}

#[tokio::test]
async fn a_withdrawal_since_then_does_not_make_it_free() {
    let commands = a_connector_under_two_versions().await;
    commands.withdraw_tariff(&caller(NOW), &request(110), tariff()).await.unwrap();
    assert_eq!(version_of_a_record(&commands, "2026-02-28T23:00:00Z", "2026-03-01T00:30:00Z").await, Some(1));
}

#[tokio::test]
async fn under_a_withdrawn_tariff_nothing_starts_and_what_does_waits_for_its_price() {
    let commands = a_connector_under_two_versions().await;
    commands.withdraw_tariff(&caller(NOW), &request(110), tariff()).await.unwrap();
    assert_eq!(version(&commands, NOW, started(NOW)).await, None);
}

#[tokio::test]
async fn a_beginning_before_the_first_version_or_in_the_future_leaves_the_version_of_the_end() {
    let commands = a_connector_under_two_versions().await;
    assert_eq!(version_of_a_record(&commands, "2000-01-01T00:00:00Z", "2026-02-28T23:00:00Z").await, Some(1));
    let commands = a_connector_under_two_versions().await;
    publish(&commands, "1.6", "2026-04-01T00:00:00Z").await;
    assert_eq!(version_of_a_record(&commands, "2026-05-01T00:00:00Z", "2026-05-01T01:00:00Z").await, Some(2));
}

#[tokio::test]
async fn what_is_heard_of_its_beginning_says_which_version_holds() {
    let commands = a_connector_under_two_versions().await;
    assert_eq!(version(&commands, "2026-02-28T23:00:00Z", started("2026-02-28T23:00:00Z")).await, Some(1));
}
