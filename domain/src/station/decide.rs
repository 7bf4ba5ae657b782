//! What a station can be asked, and what it refuses.

use rust_decimal::Decimal;

use super::{Place, StationDetails, StationEvent};
use crate::Decider;
use crate::agency::Ownership;
use crate::event::Event;
use crate::ids::{OperatorId, StationId, TariffId};
use crate::pricing::FeeKind;
use crate::text::{self, TextError};
use crate::time::ZoneName;
use crate::units::Percent;

/// What is known of a station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StationFacts {
    /// Which.
    pub station_id: StationId,
    /// Whose.
    pub operator_id: OperatorId,
    /// The operator's own code for it.
    pub code: String,
    /// What people need to find it.
    pub details: StationDetails,
    /// Prices and statistics follow this clock.
    pub zone: ZoneName,
    /// What sessions that start now take; none may start before there is one.
    pub tariff_id: Option<TariffId>,
    /// Whose it is; none when it is the operator's own.
    pub ownership: Option<Ownership>,
}

/// A station.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Station {
    /// Not registered.
    #[default]
    Absent,
    /// Sessions may start.
    InService(StationFacts),
    /// Out of service for good. Its history stays.
    Retired(StationFacts),
}

/// What somebody asks of a station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StationCommand {
    /// Put it into service. The same again changes nothing.
    Register {
        /// Which.
        station_id: StationId,
        /// Whose.
        operator_id: OperatorId,
        /// The operator's own code for it.
        code: String,
        /// What people need to find it.
        details: StationDetails,
        /// Its zone.
        zone: ZoneName,
    },
    /// Change what people need to find it.
    Change {
        /// The new details, whole.
        details: StationDetails,
    },
    /// Let sessions that start from now on take this tariff.
    AssignTariff {
        /// Which.
        tariff_id: TariffId,
    },
    /// Say whose it is, for the sessions that begin from now on.
    SetOwnership {
        /// The owner and the terms; none for a station of the operator's own.
        ownership: Option<Ownership>,
    },
    /// Take it out of service.
    Retire,
}

/// Why a station refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StationError {
    /// It was never registered.
    #[error("the station is not registered")]
    Absent,
    /// It is registered with other facts. To change its details, change it; code, zone and operator stay.
    #[error("the station is already registered, with other facts")]
    AlreadyRegistered,
    /// It is out of service for good.
    #[error("the station is retired")]
    Retired,
    /// A text is not one.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Nobody pays a commission to themselves.
    #[error("a station that is the operator's own has no owner beside it")]
    OwnedByOperator,
    /// No more than all of it can be kept.
    #[error("a rate of {percent} % is above the whole")]
    RateAboveWhole {
        /// What was given.
        percent: Percent,
    },
    /// Not on the earth.
    #[error("longitude {longitude}, latitude {latitude} is not a place: longitudes go from -180 to 180, latitudes from -90 to 90")]
    NotAPlace {
        /// What was given.
        longitude: Decimal,
        /// What was given.
        latitude: Decimal,
    },
}

impl Station {
    /// What is known of it, retired or not.
    #[must_use]
    pub const fn facts(&self) -> Option<&StationFacts> {
        match self {
            Station::Absent => None,
            Station::InService(facts) | Station::Retired(facts) => Some(facts),
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn operator_id(&self) -> Option<OperatorId> {
        self.facts().map(|facts| facts.operator_id)
    }

    /// The tariff that sessions take here.
    #[must_use]
    pub fn tariff_id(&self) -> Option<TariffId> {
        self.facts().and_then(|facts| facts.tariff_id)
    }

    /// Whose it is; none when it is the operator's own.
    #[must_use]
    pub fn ownership(&self) -> Option<&Ownership> {
        self.facts().and_then(|facts| facts.ownership.as_ref())
    }

    /// Its zone.
    #[must_use]
    pub fn zone(&self) -> Option<&ZoneName> {
        self.facts().map(|facts| &facts.zone)
    }

    /// The operator's own code for it.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.facts().map(|facts| facts.code.as_str())
    }

    /// Whether it is out of service for good.
    #[must_use]
    pub const fn is_retired(&self) -> bool {
        matches!(self, Station::Retired(_))
    }

    fn in_service(&self) -> Result<&StationFacts, StationError> {
        match self {
            Station::Absent => Err(StationError::Absent),
            Station::InService(facts) => Ok(facts),
            Station::Retired(_) => Err(StationError::Retired),
        }
    }

    fn changed(mut self, change: impl FnOnce(&mut StationFacts)) -> Station {
        match &mut self {
            Station::Absent => {}
            Station::InService(facts) | Station::Retired(facts) => change(facts),
        }
        self
    }
}

impl Decider for Station {
    type Command = StationCommand;
    type Event = StationEvent;
    type Error = StationError;

    fn decide(&self, command: StationCommand) -> Result<Vec<StationEvent>, StationError> {
        match command {
            StationCommand::Register { station_id, operator_id, code, details, zone } => {
                text::required("station code", &code, 20)?;
                check(&details)?;
                register(self, StationFacts { station_id, operator_id, code, details, zone, tariff_id: None, ownership: None })
            }
            StationCommand::Change { details } => {
                let facts = self.in_service()?;
                check(&details)?;
                if facts.details == details {
                    return Ok(vec![]);
                }
                Ok(vec![StationEvent::Changed { station_id: facts.station_id, details }])
            }
            StationCommand::AssignTariff { tariff_id } => {
                let facts = self.in_service()?;
                if facts.tariff_id == Some(tariff_id) {
                    return Ok(vec![]);
                }
                Ok(vec![StationEvent::TariffAssigned { station_id: facts.station_id, tariff_id }])
            }
            StationCommand::SetOwnership { ownership } => {
                let facts = self.in_service()?;
                ownership.as_ref().map_or(Ok(()), |ownership| check_ownership(ownership, facts.operator_id))?;
                if facts.ownership == ownership {
                    return Ok(vec![]);
                }
                Ok(vec![StationEvent::OwnershipChanged { station_id: facts.station_id, ownership }])
            }
            StationCommand::Retire => match self {
                Station::Absent => Err(StationError::Absent),
                Station::InService(facts) => Ok(vec![StationEvent::Retired { station_id: facts.station_id }]),
                Station::Retired(_) => Ok(vec![]),
            },
        }
    }

    fn evolve(self, event: &StationEvent) -> Station {
        match event.clone() {
            StationEvent::Registered { station_id, operator_id, code, details, zone } => {
                Station::InService(StationFacts { station_id, operator_id, code, details, zone, tariff_id: None, ownership: None })
            }
            StationEvent::Changed { details, .. } => self.changed(|facts| facts.details = details),
            StationEvent::TariffAssigned { tariff_id, .. } => self.changed(|facts| facts.tariff_id = Some(tariff_id)),
            StationEvent::OwnershipChanged { ownership, .. } => self.changed(|facts| facts.ownership = ownership),
            StationEvent::Retired { .. } => match self {
                Station::Absent => Station::Absent,
                Station::InService(facts) | Station::Retired(facts) => Station::Retired(facts),
            },
        }
    }

    fn event(event: &Event) -> Option<&StationEvent> {
        if let Event::Station(event) = event { Some(event) } else { None }
    }
}

fn register(station: &Station, asked: StationFacts) -> Result<Vec<StationEvent>, StationError> {
    match station {
        Station::Absent => {
            let StationFacts { station_id, operator_id, code, details, zone, tariff_id: _, ownership: _ } = asked;
            Ok(vec![StationEvent::Registered { station_id, operator_id, code, details, zone }])
        }
        // The tariff and the owner are not part of what was asked.
        Station::InService(facts) => {
            let (tariff_id, ownership) = (facts.tariff_id, facts.ownership.clone());
            let is_same = *facts == StationFacts { tariff_id, ownership, ..asked };
            if is_same { Ok(vec![]) } else { Err(StationError::AlreadyRegistered) }
        }
        Station::Retired(_) => Err(StationError::Retired),
    }
}

fn check_ownership(ownership: &Ownership, operator_id: OperatorId) -> Result<(), StationError> {
    text::required("owner name", &ownership.owner_name, 50)?;
    if ownership.owner_id == operator_id {
        return Err(StationError::OwnedByOperator);
    }
    let rates = FeeKind::ALL.map(|kind| ownership.commission.of(kind)).into_iter().chain([ownership.commission_tax]);
    let too_much = rates.into_iter().find(|percent| percent.value() > Decimal::ONE_HUNDRED);
    too_much.map_or(Ok(()), |percent| Err(StationError::RateAboveWhole { percent }))
}

impl StationDetails {
    /// Whether its texts can be those of a station: a name of 1 to 50 characters, an address of up to 150.
    ///
    /// # Errors
    /// When one of them cannot.
    pub fn check_texts(&self) -> Result<(), TextError> {
        text::required("station name", &self.name, 50)?;
        text::optional("address", &self.address, 150)
    }
}

fn check(details: &StationDetails) -> Result<(), StationError> {
    details.check_texts()?;
    let Place { longitude, latitude, datum: _ } = details.place;
    if longitude.abs() > Decimal::from(180) || latitude.abs() > Decimal::from(90) {
        return Err(StationError::NotAPlace { longitude, latitude });
    }
    Ok(())
}
