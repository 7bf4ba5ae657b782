//! The station's wall clock in half-hours, as instants go by. Between two changes of the zone's offset the clock is plain
//! arithmetic; a change ends the half-hour it falls into. So 02:30 that comes twice is twice the same half-hour of the
//! table, and 02:30 that never comes is none.

use jiff::tz::TimeZone;

use crate::time::{Timestamp, ZoneName};

const HALF_HOUR: i64 = 1_800_000_000;

/// A half-hour on the wall clock, or what a change of the clock leaves of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HalfHour {
    /// Days of the calendar since 1970-01-01.
    pub(super) day: i64,
    /// 0 is from 00:00, 47 from 23:30.
    pub(super) slot: usize,
    /// The instant at which another one begins, in microseconds.
    pub(super) until: i64,
}

/// A clock that is asked with instants that never go back.
pub(super) struct WallClock {
    zone: TimeZone,
    offset: i64,
    offset_until: i64,
}

impl WallClock {
    pub(super) fn new(zone: &ZoneName) -> WallClock {
        WallClock { zone: zone.zone(), offset: 0, offset_until: i64::MIN }
    }

    /// The half-hour at this instant, which is in microseconds.
    pub(super) fn at(&mut self, micros: i64) -> HalfHour {
        if micros >= self.offset_until {
            self.set(micros);
        }
        let count = (micros + self.offset).div_euclid(HALF_HOUR);
        let next = (count + 1) * HALF_HOUR - self.offset;
        HalfHour {
            day: count.div_euclid(48),
            slot: usize::try_from(count.rem_euclid(48)).unwrap_or_default(),
            until: next.min(self.offset_until),
        }
    }

    fn set(&mut self, micros: i64) {
        let instant = Timestamp::from_micros(micros).unwrap_or_default().jiff();
        self.offset = i64::from(self.zone.to_offset(instant).seconds()) * 1_000_000;
        self.offset_until = self.zone.following(instant).next().map_or(i64::MAX, |change| change.timestamp().as_microsecond());
    }
}
