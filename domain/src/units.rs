//! Exact quantities: money, energy and prices over `rust_decimal`, each with one written scale.
//!
//! Text at every border ("12.50"), never a float. Constructors refuse a finer scale and a magnitude that SQL's
//! columns could not hold, so that sums of what has been accepted cannot overflow. [`round_half_up`] is the only
//! place where a digit is ever dropped.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use serde::ser::{Serialize, Serializer};

/// Why a text or a number is not a quantity of this unit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a decimal number at all.
    #[error("\"{text}\" is not a decimal number")]
    NotANumber {
        /// What was given.
        text: String,
    },
    /// More decimal places than the unit has.
    #[error("{value} has more than {scale} decimal places")]
    TooFine {
        /// What was given.
        value: Decimal,
        /// The places this unit has.
        scale: u32,
    },
    /// Beyond what the unit holds.
    #[error("{value} is out of range")]
    OutOfRange {
        /// What was given.
        value: Decimal,
    },
}

/// Rounds to `scale` places, half up (四舍五入; away from zero for negative amounts): the one rounding function.
#[must_use]
pub fn round_half_up(value: Decimal, scale: u32) -> Decimal {
    value.round_dp_with_strategy(scale, RoundingStrategy::MidpointAwayFromZero)
}

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, scale $scale:literal, from $least:expr, below ten to the $digits:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Decimal);

        impl $name {
            /// Decimal places, of the text form and of the SQL column.
            pub const SCALE: u32 = $scale;
            /// Nothing.
            pub const ZERO: $name = $name(Decimal::from_parts(0, 0, 0, false, $scale));

            /// Takes an exact value.
            ///
            /// # Errors
            /// When it has more places than [`Self::SCALE`] or lies outside the range.
            pub fn new(value: Decimal) -> Result<$name, UnitError> {
                let mut exact = value;
                if exact.scale() > $scale {
                    exact = exact.normalize();
                    if exact.scale() > $scale {
                        return Err(UnitError::TooFine { value, scale: $scale });
                    }
                }
                if !Self::in_range(exact) {
                    return Err(UnitError::OutOfRange { value });
                }
                exact.rescale($scale);
                Ok($name(exact))
            }

            fn in_range(value: Decimal) -> bool {
                let least: Option<Decimal> = $least;
                let bound = Decimal::from_i128_with_scale(10_i128.pow($digits), 0);
                least.is_none_or(|least| value >= least) && value.abs() < bound
            }

            /// The exact value.
            #[must_use]
            pub const fn value(self) -> Decimal {
                self.0
            }

            /// Whether it is nothing.
            #[must_use]
            pub fn is_zero(self) -> bool {
                self.0.is_zero()
            }
        }

        impl Default for $name {
            fn default() -> $name {
                $name::ZERO
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:.*}", $scale, self.0)
            }
        }

        impl FromStr for $name {
            type Err = UnitError;
            fn from_str(text: &str) -> Result<$name, UnitError> {
                $name::new(parse_decimal(text)?)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                $name::new(deserializer.deserialize_str(DecimalText)?).map_err(D::Error::custom)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": concat!("^-?[0-9]+\\.[0-9]{", stringify!($scale), "}$"),
                })
            }
        }
    };
}

quantity! {
    /// Yuan, to the fen: all that a posting may carry. Signed, because a difference may be negative.
    Money, scale 2, from None, below ten to the 16
}
quantity! {
    /// Kilowatt-hours that we stand behind; never negative. What a device said is [`ReportedEnergy`].
    Energy, scale 4, from Some(Decimal::ZERO), below ten to the 10
}
quantity! {
    /// Yuan per kilowatt-hour.
    PricePerKwh, scale 5, from Some(Decimal::ZERO), below ten to the 7
}
quantity! {
    /// Yuan per minute.
    PricePerMinute, scale 5, from Some(Decimal::ZERO), below ten to the 7
}
quantity! {
    /// Kilowatts.
    Power, scale 3, from Some(Decimal::ZERO), below ten to the 7
}
quantity! {
    /// Minutes of connection, to a ten-thousandth: the quantity of a time or idle fee.
    Minutes, scale 4, from Some(Decimal::ZERO), below ten to the 10
}
quantity! {
    /// A part of a whole, in percent: a tax rate.
    Percent, scale 4, from Some(Decimal::ZERO), below ten to the 3
}

/// An energy as a device reported it: any sign, any scale. Judging it yields [`Energy`] or a dispute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ReportedEnergy(Decimal);

impl ReportedEnergy {
    /// Keeps what was said, digit for digit.
    #[must_use]
    pub const fn new(value: Decimal) -> ReportedEnergy {
        ReportedEnergy(value)
    }

    /// What was said.
    #[must_use]
    pub const fn value(self) -> Decimal {
        self.0
    }

    /// The energy, if it is one that we can stand behind: not negative, four places, in range.
    ///
    /// # Errors
    /// When it is not.
    pub fn judge(self) -> Result<Energy, UnitError> {
        Energy::new(self.0)
    }
}

impl From<Energy> for ReportedEnergy {
    fn from(energy: Energy) -> ReportedEnergy {
        ReportedEnergy(energy.0)
    }
}

impl fmt::Display for ReportedEnergy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ReportedEnergy {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<ReportedEnergy, UnitError> {
        parse_decimal(text).map(ReportedEnergy)
    }
}

impl Serialize for ReportedEnergy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ReportedEnergy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ReportedEnergy, D::Error> {
        deserializer.deserialize_str(DecimalText).map(ReportedEnergy)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ReportedEnergy {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ReportedEnergy".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^-?[0-9]+(\\.[0-9]+)?$" })
    }
}

impl Money {
    /// What this much energy costs: half up, once per billed line.
    #[must_use]
    pub fn of(energy: Energy, price: PricePerKwh) -> Money {
        Money(round_half_up(energy.0 * price.0, Money::SCALE))
    }

    /// What this much time costs: half up, once per billed line.
    #[must_use]
    pub fn of_minutes(minutes: Minutes, price: PricePerMinute) -> Money {
        Money(round_half_up(minutes.0 * price.0, Money::SCALE))
    }

    /// The part of a tax-inclusive amount that is not tax: `gross / (1 + rate)`, half up. The tax is the rest, so
    /// that the two always sum to the whole.
    #[must_use]
    pub fn net_of_tax(self, rate: Percent) -> Money {
        let hundred = Decimal::ONE_HUNDRED;
        Money(round_half_up(self.0 * hundred / (hundred + rate.0), Money::SCALE))
    }

    /// A part of it, half up: a commission. The other part is the rest, so that the two always sum to the whole.
    #[must_use]
    pub fn part(self, rate: Percent) -> Money {
        Money(round_half_up(self.0 * rate.0 / Decimal::ONE_HUNDRED, Money::SCALE))
    }

    /// A whole number of fen.
    #[must_use]
    pub fn from_fen(fen: i64) -> Money {
        Money(Decimal::new(fen, Money::SCALE))
    }

    /// Whether it is more than nothing.
    #[must_use]
    pub fn is_positive(self) -> bool {
        self.0 > Decimal::ZERO
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub fn is_negative(self) -> bool {
        self.0 < Decimal::ZERO
    }
}

impl Energy {
    /// The energy between two readings, if the second is not below the first.
    #[must_use]
    pub fn since(self, earlier: Energy) -> Option<Energy> {
        (self >= earlier).then(|| Energy(self.0 - earlier.0))
    }

    /// The share `part / whole` of this energy, half up at the fourth place; all of it when `whole` is nothing.
    #[must_use]
    pub fn share(self, part: i64, whole: i64) -> Energy {
        if whole == 0 {
            return self;
        }
        Energy(round_half_up(self.0 * Decimal::from(part) / Decimal::from(whole), Energy::SCALE))
    }
}

impl Minutes {
    /// Whole seconds as minutes, half up at the fourth place.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Minutes {
        Minutes(round_half_up(Decimal::from(seconds.max(0)) / Decimal::from(60), Minutes::SCALE))
    }
}

macro_rules! sums {
    ($($name:ident),*) => {$(
        impl Add for $name {
            type Output = $name;
            fn add(self, other: $name) -> $name {
                $name(self.0 + other.0)
            }
        }
        impl AddAssign for $name {
            fn add_assign(&mut self, other: $name) {
                self.0 += other.0;
            }
        }
        impl Sum for $name {
            fn sum<I: Iterator<Item = $name>>(items: I) -> $name {
                items.fold($name::ZERO, Add::add)
            }
        }
    )*};
}
sums!(Money, Energy, Minutes);

impl Sub for Money {
    type Output = Money;
    fn sub(self, other: Money) -> Money {
        Money(self.0 - other.0)
    }
}
impl SubAssign for Money {
    fn sub_assign(&mut self, other: Money) {
        self.0 -= other.0;
    }
}
impl Neg for Money {
    type Output = Money;
    fn neg(self) -> Money {
        Money(-self.0)
    }
}

fn parse_decimal(text: &str) -> Result<Decimal, UnitError> {
    Decimal::from_str_exact(text).map_err(|_| UnitError::NotANumber { text: text.chars().take(64).collect() })
}

struct DecimalText;

impl Visitor<'_> for DecimalText {
    type Value = Decimal;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal number as text, like \"12.50\"")
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Decimal, E> {
        parse_decimal(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn a_finer_scale_is_refused_and_trailing_zeros_are_not() {
        assert!(matches!("1.005".parse::<Money>(), Err(UnitError::TooFine { scale: 2, .. })));
        assert_eq!("1.5000".parse::<Money>().unwrap().to_string(), "1.50");
    }

    #[test]
    fn a_float_in_json_is_refused() {
        assert!(serde_json::from_str::<Money>("1.5").is_err());
        assert_eq!(serde_json::to_string(&money("1.5")).unwrap(), "\"1.50\"");
    }

    #[test]
    fn beyond_the_range_is_refused() {
        assert!(matches!("10000000000000000".parse::<Money>(), Err(UnitError::OutOfRange { .. })));
        assert!(matches!("-0.0001".parse::<Energy>(), Err(UnitError::OutOfRange { .. })));
        assert!(matches!("1e3".parse::<Money>(), Err(UnitError::NotANumber { .. })));
    }

    #[test]
    fn a_line_rounds_half_up() {
        let price: PricePerKwh = "0.00500".parse().unwrap();
        assert_eq!(Money::of("1".parse().unwrap(), price), money("0.01"));
        assert_eq!(Money::of("0.9999".parse().unwrap(), price), money("0.00"));
    }

    #[test]
    fn net_and_tax_sum_to_the_gross() {
        let gross = money("32.10");
        let net = gross.net_of_tax("13".parse().unwrap());
        assert_eq!(net, money("28.41"));
        assert_eq!(net + (gross - net), gross);
    }
}
