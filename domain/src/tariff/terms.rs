//! The prices that a tariff version holds: elements with restrictions, the first that fits a moment prices it.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::ids::TariffId;
use crate::units::{Energy, Money, Percent, PricePerKwh, PricePerMinute};

/// A TOU period (尖峰平谷).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TouPeriod {
    /// 尖.
    Sharp,
    /// 峰.
    Peak,
    /// 平.
    Flat,
    /// 谷.
    Valley,
}

impl TouPeriod {
    /// The letter in a [`HalfHours`] table.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            TouPeriod::Sharp => 'S',
            TouPeriod::Peak => 'P',
            TouPeriod::Flat => 'F',
            TouPeriod::Valley => 'V',
        }
    }

    /// The word in JSON and in a bill line's rule.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TouPeriod::Sharp => "sharp",
            TouPeriod::Peak => "peak",
            TouPeriod::Flat => "flat",
            TouPeriod::Valley => "valley",
        }
    }
}

/// The 48 half-hours of a day on the station's clock, from 00:00; as text, 48 of the letters S, P, F and V (云快充 0x0A carries the same table as numbers).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HalfHours(pub [TouPeriod; 48]);

/// Why a text is no table of half-hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a day is 48 letters of S (sharp), P (peak), F (flat) and V (valley), one per half-hour from 00:00; \"{0}\" is not")]
pub struct HalfHoursError(String);

impl HalfHours {
    /// One period all day.
    #[must_use]
    pub const fn all(period: TouPeriod) -> HalfHours {
        HalfHours([period; 48])
    }
}

impl fmt::Display for HalfHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.0.iter().map(|period| period.letter()).collect();
        f.write_str(&text)
    }
}

impl FromStr for HalfHours {
    type Err = HalfHoursError;
    fn from_str(text: &str) -> Result<HalfHours, HalfHoursError> {
        let unfit = || HalfHoursError(text.chars().take(64).collect());
        let mut table = [TouPeriod::Flat; 48];
        if text.len() != table.len() {
            return Err(unfit());
        }
        for (slot, letter) in table.iter_mut().zip(text.bytes()) {
            *slot = match letter {
                b'S' => TouPeriod::Sharp,
                b'P' => TouPeriod::Peak,
                b'F' => TouPeriod::Flat,
                b'V' => TouPeriod::Valley,
                _ => return Err(unfit()),
            };
        }
        Ok(HalfHours(table))
    }
}

impl Serialize for HalfHours {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HalfHours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HalfHours, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for HalfHours {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HalfHours".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[SPFV]{48}$" })
    }
}

/// The two prices of a TOU period: energy fee (电费) and service fee (服务费), billed apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rate {
    /// For the electricity.
    pub energy: PricePerKwh,
    /// For the service.
    pub service: PricePerKwh,
}

/// The rates of the four periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rates {
    /// 尖.
    pub sharp: Rate,
    /// 峰.
    pub peak: Rate,
    /// 平.
    pub flat: Rate,
    /// 谷.
    pub valley: Rate,
}

impl Rates {
    /// The rate of a period.
    #[must_use]
    pub const fn of(&self, period: TouPeriod) -> Rate {
        match period {
            TouPeriod::Sharp => self.sharp,
            TouPeriod::Peak => self.peak,
            TouPeriod::Flat => self.flat,
            TouPeriod::Valley => self.valley,
        }
    }
}

/// When an element holds. Everything that is named must fit; nothing named fits always.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Restrictions {
    /// Only on these days of the week, 1 Monday to 7 Sunday, on the station's calendar.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weekdays: Vec<u8>,
    /// Only on these dates of the station's calendar, the last one included: a holiday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dates: Option<DateRange>,
    /// Only for the energy of a session from this much on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_from: Option<Energy>,
    /// Only for the energy of a session below this much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_below: Option<Energy>,
}

/// Dates from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DateRange {
    /// The first.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub first: Date,
    /// The last.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub last: Date,
}

/// One element: when it holds, and what it costs then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TariffElement {
    /// When it holds.
    #[serde(default)]
    pub restrictions: Restrictions,
    /// Which period each half-hour is.
    pub half_hours: HalfHours,
    /// What each period costs.
    pub rates: Rates,
}

/// The idle fee (占位费): for keeping the connector after charging has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IdleFee {
    /// Per minute.
    pub price: PricePerMinute,
    /// The first minutes are free.
    pub grace_minutes: u32,
    /// The most that a session pays, if there is a most.
    pub most: Option<Money>,
}

/// Value-added tax by kind of revenue. Prices include it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaxRates {
    /// On electricity.
    pub energy: Percent,
    /// On the service fee.
    pub service: Percent,
    /// On the idle fee.
    pub idle: Percent,
}

/// What a tariff version holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TariffTerms {
    /// The first element that fits a moment prices it. The last one has no restrictions, so that one always fits.
    pub elements: Vec<TariffElement>,
    /// For keeping the connector after charging has ended.
    pub idle: Option<IdleFee>,
    /// Value-added tax, included in the prices.
    pub tax: TaxRates,
}

/// The terms under which one session was started. Its price never changes after that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TariffSnapshot {
    /// Of which tariff.
    pub tariff_id: TariffId,
    /// Which version.
    pub version: u32,
    /// The prices.
    pub terms: TariffTerms,
}
