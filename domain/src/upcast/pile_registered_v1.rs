//! `pile.registered` 1 → 2. Version 1 had the model and the power beside the code and did not say which current the pile gives; version 2
//! says what the pile is in `details`. Both forms are frozen here: the domain's own types move on.

use serde::{Deserialize, Serialize};

use crate::ids::{PileId, StationId};
use crate::pile::CurrentKind;
use crate::units::Power;

#[derive(Deserialize)]
struct Version1 {
    pile_id: PileId,
    station_id: StationId,
    code: String,
    model: String,
    power_kw: Power,
}

#[derive(Serialize)]
struct Version2 {
    pile_id: PileId,
    station_id: StationId,
    code: String,
    details: Details,
}

#[derive(Serialize)]
struct Details {
    model: String,
    current: CurrentKind,
    rated_power: Power,
}

pub(super) fn raise(payload: &[u8]) -> Result<Vec<u8>, String> {
    let Version1 { pile_id, station_id, code, model, power_kw } = rmp_serde::from_slice(payload).map_err(|error| error.to_string())?;
    let details = Details { model, current: current_of(power_kw), rated_power: power_kw };
    rmp_serde::to_vec_named(&Version2 { pile_id, station_id, code, details }).map_err(|error| error.to_string())
}

/// Three phases of 32 A, 22 kW, are the most that the alternating-current piles of version 1's time gave; every direct-current one gave more.
fn current_of(power: Power) -> CurrentKind {
    if power.value() <= rust_decimal::Decimal::from(22) { CurrentKind::Ac } else { CurrentKind::Dc }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{DecodeError, Event};
    use crate::pile::{PileDetails, PileEvent};
    use crate::testing::id;

    fn stored(power_kw: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Stored<'a> {
            pile_id: PileId,
            station_id: StationId,
            code: &'a str,
            model: &'a str,
            power_kw: &'a str,
        }
        rmp_serde::to_vec_named(&Stored { pile_id: id(1), station_id: id(2), code: "32010200000001", model: "EV", power_kw }).unwrap()
    }

    fn registered(power: &str, current: CurrentKind) -> Event {
        let details = PileDetails { model: "EV".to_owned(), current, rated_power: power.parse().unwrap() };
        PileEvent::Registered { pile_id: id(1), station_id: id(2), code: "32010200000001".to_owned(), details }.into()
    }

    #[test]
    fn a_pile_of_up_to_22_kw_gave_alternating_current_and_one_of_more_direct() {
        for (power, current) in
            [("7.000", CurrentKind::Ac), ("22.000", CurrentKind::Ac), ("22.001", CurrentKind::Dc), ("120.000", CurrentKind::Dc)]
        {
            assert_eq!(Event::decode("pile.registered", 1, &stored(power)), Ok(registered(power, current)), "{power} kW");
        }
    }

    #[test]
    fn what_is_written_now_is_version_2() {
        let (name, version, payload) = registered("7.000", CurrentKind::Dc).encode();
        assert_eq!((name.as_str(), version), ("pile.registered", 2));
        assert_eq!(Event::decode("pile.registered", 2, &payload), Ok(registered("7.000", CurrentKind::Dc)));
    }

    #[test]
    fn a_version_1_that_is_none_is_malformed_and_keeps_its_version() {
        let refused = Event::decode("pile.registered", 1, &stored("-1.000"));
        assert!(matches!(&refused, Err(DecodeError::Malformed { version: 1, .. })), "{refused:?}");
        assert!(matches!(Event::decode("pile.registered", 3, &stored("7.000")), Err(DecodeError::UnknownType { version: 3, .. })));
    }
}
