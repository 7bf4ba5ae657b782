//! What a session used: the energy since its start over time, and the time it kept the connector afterwards.

use super::PricingError;
use super::rules::ten_thousandths;
use crate::time::Timestamp;
use crate::units::{Energy, Power};

/// The longest charging, and the longest idle time, that is billed without a person looking at it. It bounds the work
/// and the lines of a bill, whatever a device says.
pub const LONGEST_DAYS: i64 = 31;

const LONGEST_MICROS: i64 = LONGEST_DAYS * 86_400 * 1_000_000;

/// A believed reading: the energy since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnergyPoint {
    /// When it was read.
    pub at: Timestamp,
    /// Since the start.
    pub energy: Energy,
}

/// What a session used. The points begin at zero, end with the billed energy, and never fall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    points: Vec<EnergyPoint>,
    idle: Option<(Timestamp, Timestamp)>,
}

impl Usage {
    /// From the start to the end with this much energy, by way of the readings between.
    ///
    /// The three numbers are what is billed. The readings only say how the energy spreads over the time: one that does
    /// not lie between, or falls behind the one before it, cannot say that and is left out.
    ///
    /// # Errors
    /// When it ends before it begins, or takes more than [`LONGEST_DAYS`] days.
    pub fn new(
        started_at: Timestamp,
        ended_at: Timestamp,
        energy: Energy,
        readings: impl IntoIterator<Item = EnergyPoint>,
    ) -> Result<Usage, PricingError> {
        if ended_at < started_at {
            return Err(PricingError::EndsBeforeStart { started_at, ended_at });
        }
        within_longest(started_at, ended_at)?;
        let mut last = EnergyPoint { at: started_at, energy: Energy::ZERO };
        let mut points = vec![last];
        for reading in readings {
            if reading.at >= last.at && reading.at <= ended_at && reading.energy >= last.energy && reading.energy <= energy {
                points.push(reading);
                last = reading;
            }
        }
        points.push(EnergyPoint { at: ended_at, energy });
        Ok(Usage { points, idle: None })
    }

    /// With the time from the end of charging until the vehicle left. Time before the end is charging, never idle, and an
    /// unplugging before the end is no idle time at all.
    ///
    /// # Errors
    /// When it is more than [`LONGEST_DAYS`] days.
    pub fn idle_until(mut self, unplugged_at: Timestamp) -> Result<Usage, PricingError> {
        let ended_at = self.ended_at();
        self.idle = None;
        if unplugged_at > ended_at {
            within_longest(ended_at, unplugged_at)?;
            self.idle = Some((ended_at, unplugged_at));
        }
        Ok(self)
    }

    /// When charging ended.
    #[must_use]
    pub fn ended_at(&self) -> Timestamp {
        self.points.last().map_or_else(Timestamp::default, |point| point.at)
    }

    /// All of the energy.
    #[must_use]
    pub fn energy(&self) -> Energy {
        self.points.last().map_or(Energy::ZERO, |point| point.energy)
    }

    /// The points, from (start, 0) to (end, energy).
    #[must_use]
    pub fn points(&self) -> &[EnergyPoint] {
        &self.points
    }

    /// From when until when the connector was kept without charging.
    #[must_use]
    pub const fn idle(&self) -> Option<(Timestamp, Timestamp)> {
        self.idle
    }
}

fn within_longest(from: Timestamp, until: Timestamp) -> Result<(), PricingError> {
    if until.micros().saturating_sub(from.micros()) > LONGEST_MICROS {
        return Err(PricingError::TooLong { from, until });
    }
    Ok(())
}

/// When this much energy has been delivered at this power; at once where the power is nothing.
pub(super) fn delivered_by(from: Timestamp, energy: Energy, power: Power) -> Timestamp {
    // 0.0001 kWh at 0.001 kW takes a tenth of an hour.
    let tenths_of_an_hour = i128::from(ten_thousandths(energy)) * 360_000_000;
    let mut watts = power.value();
    watts.rescale(Power::SCALE);
    let micros = tenths_of_an_hour.checked_div(watts.mantissa()).unwrap_or(0);
    let until = i64::try_from(micros).unwrap_or(i64::MAX).saturating_add(from.micros());
    Timestamp::from_micros(until).unwrap_or_else(|_| from.plus_seconds(i64::MAX))
}
