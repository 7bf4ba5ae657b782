//! Stations, piles, connectors.

use domain::agency::{CommissionRates, Ownership};
use domain::connector::ConnectorEvent;
use domain::event::Event;
use domain::pile::{CurrentKind, PileDetails, PileEvent};
use domain::station::{Datum, Place, StationDetails, StationEvent};

use super::{of, who};

pub fn all() -> Vec<Event> {
    let stations = stations().into_iter().map(Event::from);
    let piles = piles().into_iter().map(Event::from);
    stations.chain(piles).chain(connectors().into_iter().map(Event::from)).collect()
}

fn stations() -> Vec<StationEvent> {
    let station_id = who::station();
    let place = Place { longitude: of("113.941580"), latitude: of("22.523670"), datum: Datum::Gcj02 };
    let details =
        StationDetails { name: "湾区一号充电站".to_owned(), address: "深圳市南山区海德三道 1 号".to_owned(), place };
    let (code, zone) = ("SZ-0001".to_owned(), of("Asia/Shanghai"));
    vec![
        StationEvent::Registered { station_id, operator_id: who::operator(), code, details: details.clone(), zone },
        StationEvent::Changed { station_id, details },
        StationEvent::TariffAssigned { station_id, tariff_id: who::tariff() },
        StationEvent::OwnershipChanged { station_id, ownership: Some(ownership()) },
        StationEvent::Retired { station_id },
    ]
}

/// Of somebody else: the energy fee passes through but for a twentieth, the service fee is shared.
pub fn ownership() -> Ownership {
    let commission = CommissionRates { energy: of("5.0000"), service: of("30.0000"), idle: of("50.0000") };
    Ownership::new(of("MA5OWNER1"), "海德物业".to_owned(), commission, of("6.0000"))
}

fn piles() -> Vec<PileEvent> {
    let (pile_id, station_id) = (who::pile(), who::station());
    let details = PileDetails { model: "EVD-120".to_owned(), current: CurrentKind::Dc, rated_power: of("120.000") };
    vec![
        PileEvent::Registered { pile_id, station_id, code: "32010200000001".to_owned(), details: details.clone() },
        PileEvent::Changed { pile_id, details },
        PileEvent::Retired { pile_id },
    ]
}

fn connectors() -> Vec<ConnectorEvent> {
    let (connector_id, station_id, session_id) = (who::connector(), who::station(), who::session());
    vec![
        ConnectorEvent::Registered { connector_id, pile_id: who::pile(), station_id, number: 1 },
        ConnectorEvent::Occupied { connector_id, station_id, session_id },
        ConnectorEvent::Released { connector_id, station_id, session_id },
        ConnectorEvent::Faulted { connector_id, station_id, code: "0x0011".to_owned() },
        ConnectorEvent::FaultCleared { connector_id, station_id },
        ConnectorEvent::WentOffline { connector_id, station_id },
        ConnectorEvent::CameOnline { connector_id, station_id },
        ConnectorEvent::Retired { connector_id, station_id },
    ]
}
