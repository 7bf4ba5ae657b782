//! Values as they stand in JSON: each type reads what its schema says and nothing else, so that the OpenAPI document and the parser cannot disagree.
//!
//! Amounts are decimal text. What `Decimal` itself would let pass (`+5`, `1_000`, `5e1`, `.5`) is refused here.

use std::fmt::Display;
use std::str::FromStr;

use domain::time::Timestamp;
use domain::units::{Energy, Money, Percent, Power, PricePerKwh, PricePerMinute, ReportedEnergy};
use rust_decimal::Decimal;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{KnownFormat, RefOr};
use utoipa::{PartialSchema, ToSchema};

/// How a decimal may be written.
struct Form {
    signed: bool,
    whole_digits: usize,
    decimals: usize,
}

impl Form {
    fn takes(&self, text: &str) -> bool {
        let unsigned = if self.signed { text.strip_prefix('-').unwrap_or(text) } else { text };
        let (whole, decimals) = unsigned.split_once('.').map_or((unsigned, None), |(whole, decimals)| (whole, Some(decimals)));
        let digits = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        digits(whole, self.whole_digits)
            && (whole.len() == 1 || !whole.starts_with('0'))
            && decimals.is_none_or(|decimals| digits(decimals, self.decimals))
    }

    /// Why a text is none of these.
    fn refusal(&self, text: &str, example: &str) -> String {
        let shown: String = text.chars().take(40).collect();
        if (Form { decimals: text.len(), ..*self }).takes(text) {
            let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
            return format!("\"{shown}\" has {decimals} decimals; at most {} are taken, like {example}", self.decimals);
        }
        format!("\"{shown}\" is not a decimal number like {example}")
    }

    fn pattern(&self, positive: bool) -> String {
        let Form { signed, whole_digits, decimals } = self;
        let sign = if *signed { "-?" } else { "" };
        let more = whole_digits - 1;
        let not_zero = if positive { "(?!0(\\.0+)?$)" } else { "" };
        format!("^{not_zero}{sign}(0|[1-9][0-9]{{0,{more}}})(\\.[0-9]{{1,{decimals}}})?$")
    }
}

macro_rules! decimals {
    ($($(#[doc = $doc:literal])* $name:ident($inner:ty) $signed:literal $whole:literal . $decimals:literal $positive:literal $example:literal;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub $inner);

        impl $name {
            const FORM: Form = Form { signed: $signed, whole_digits: $whole, decimals: $decimals };
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<$name, String> {
                let unfit = || $name::FORM.refusal(text, $example);
                if !$name::FORM.takes(text) {
                    return Err(unfit());
                }
                if $positive && text.bytes().all(|byte| matches!(byte, b'0' | b'.')) {
                    return Err("it must be more than 0".to_owned());
                }
                text.parse().map($name).map_err(|_| unfit())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                text_of(deserializer, concat!("decimal text like \"", $example, "\""))?.parse().map_err(D::Error::custom)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                string(concat!($($doc),*)).pattern(Some($name::FORM.pattern($positive))).examples([$example]).into()
            }
        }
        impl ToSchema for $name {}
    )*};
}

decimals! {
    /// Yuan, to the fen.
    Yuan(Money) true 14 . 2 false "12.50";
    /// Yuan, to the fen, more than nothing.
    PositiveYuan(Money) false 12 . 2 true "50.00";
    /// Kilowatt-hours.
    Kwh(Energy) false 9 . 4 false "12.5000";
    /// Kilowatt-hours as a device reports them: any sign; judged, never refused.
    ReportedKwh(ReportedEnergy) true 12 . 8 false "1234.5678";
    /// Kilowatts.
    Kilowatts(Power) false 6 . 3 true "60.000";
    /// Yuan per kilowatt-hour.
    YuanPerKwh(PricePerKwh) false 6 . 5 false "0.98000";
    /// Yuan per minute.
    YuanPerMinute(PricePerMinute) false 6 . 5 false "0.50000";
    /// Percent.
    PercentText(Percent) false 3 . 4 false "13.0000";
    /// Degrees, exactly as published.
    Degrees(Decimal) true 3 . 12 false "114.0579";
    /// A quantity: kilowatt-hours or minutes.
    Quantity(Decimal) true 12 . 12 false "12.5000";
}

/// The text of a JSON string; anything else is told what should be there.
fn text_of<'de, D: Deserializer<'de>>(deserializer: D, expected: &'static str) -> Result<String, D::Error> {
    struct Text(&'static str);
    impl serde::de::Visitor<'_> for Text {
        type Value = String;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0)
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }
    deserializer.deserialize_str(Text(expected))
}

fn string(description: &str) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).description(Some(description.trim()))
}

macro_rules! wholes {
    ($($(#[doc = $doc:literal])* $name:ident($inner:ty) $least:literal to $most:literal;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        pub struct $name(pub $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let number = serde_json::Number::deserialize(deserializer)?;
                // JSON knows one kind of number: 3.0 is 3.
                let text = number.to_string();
                let whole = text.strip_suffix(".0").unwrap_or(&text).parse::<$inner>().ok();
                let unfit = || D::Error::custom(concat!("it is a whole number from ", $least, " to ", $most));
                whole.filter(|whole| ($least..=$most).contains(whole)).map($name).ok_or_else(unfit)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::Integer)
                    .minimum(Some($least))
                    .maximum(Some($most))
                    .description(Some(concat!($($doc),*).trim()))
                    .into()
            }
        }
        impl ToSchema for $name {}
    )*};
}

wholes! {
    /// 1 (Monday) to 7.
    Weekday(u8) 1 to 7;
    /// A connector's number on its pile.
    ConnectorNumber(u8) 1 to 255;
    /// Minutes.
    WholeMinutes(u32) 0 to 100_000;
}

/// An instant: RFC 3339 with an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub Timestamp);

impl FromStr for Time {
    type Err = String;
    fn from_str(text: &str) -> Result<Time, String> {
        // What jiff reads beyond RFC 3339 (a zone in brackets, a blank for the T) is refused: other readers would not take it.
        let is_plain = text.len() <= 40
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b':' | b'.' | b'T' | b't' | b'Z' | b'z'));
        let unfit = || {
            let start: String = text.chars().take(40).collect();
            format!("\"{start}\" is not an RFC 3339 time with an offset, like 2026-03-01T08:30:12+08:00")
        };
        if !is_plain || text.len() < 20 {
            return Err(unfit());
        }
        text.parse().map(Time).map_err(|_| unfit())
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        text_of(deserializer, "an RFC 3339 time with an offset")?.parse().map_err(D::Error::custom)
    }
}

impl PartialSchema for Time {
    fn schema() -> RefOr<Schema> {
        string("An instant, RFC 3339 with an offset.")
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .examples(["2026-03-01T08:30:12+08:00"])
            .into()
    }
}
impl ToSchema for Time {}

/// Something on one line, visible, at most so many characters: what the interfaces behind take (`domain::text`).
const LINE: &str = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F\u0085\u200B\uFEFF][^\x00-\x1F\x7F-\x9F]*$";
/// The same, or nothing.
const LINE_OR_NOTHING: &str = r"^[^\x00-\x1F\x7F-\x9F]*$";

macro_rules! texts {
    ($($(#[doc = $doc:literal])* $name:ident $least:literal to $most:literal $pattern:ident $example:literal;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(pub String);

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<$name, String> {
                line(text, $least, $most).map($name)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.0.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                text_of(deserializer, "text")?.parse().map_err(D::Error::custom)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                string(concat!($($doc),*))
                    .min_length(Some($least))
                    .max_length(Some($most))
                    .pattern(Some($pattern))
                    .examples([$example])
                    .into()
            }
        }
        impl ToSchema for $name {}
    )*};
}

texts! {
    /// The operator's own code for a station.
    StationCode 1 to 20 LINE "SZ-FT-001";
    /// A station's name.
    StationName 1 to 50 LINE "Futian Central";
    /// An address, as people write it.
    Address 0 to 150 LINE_OR_NOTHING "1 Fuhua Road, Shenzhen";
    /// The code that a pile gives itself on the wire, or the operator's own.
    PileCode 1 to 23 LINE "32010600000001";
    /// The maker's model; empty when unknown.
    PileModel 0 to 50 LINE_OR_NOTHING "DC-60";
    /// A tariff's name.
    TariffName 1 to 100 LINE "Public piles, summer";
    /// Why, for whoever asks later.
    Note 1 to 500 LINE "the pile burnt; read from the photograph of its meter";
    /// Why, in short.
    Reason 1 to 80 LINE "the cable was broken";
    /// A number that a device gave a transaction, or that the ledger gave the device.
    TransactionNumber 1 to 64 LINE "00000000000000000000000000000042";
    /// A device's own code.
    DeviceCode 1 to 64 LINE "E12";
    /// A key's name, for people.
    KeyName 1 to 50 LINE "driver app";
    /// An operator's name.
    OperatorName 1 to 50 LINE "Bay Charging";
    /// A name or a plate.
    PersonalText 1 to 64 LINE "粤B12345";
    /// Words to search for.
    SearchText 1 to 100 LINE "Futian";
}

fn line(text: &str, least: usize, most: usize) -> Result<String, String> {
    let length = text.chars().count();
    if length > most {
        return Err(format!("it has {length} characters; at most {most} are taken"));
    }
    if text.chars().any(char::is_control) {
        return Err("it has a control character in it".to_owned());
    }
    if least > 0 && text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(text.to_owned())
}

/// A phone number.
#[derive(Clone, PartialEq, Eq)]
pub struct Phone(pub String);

impl FromStr for Phone {
    type Err = String;
    fn from_str(text: &str) -> Result<Phone, String> {
        // The number itself is not repeated: this text may be logged by whoever gets it.
        let unfit =
            |_| "a phone number has 5 to 20 digits, with or without a plus in front; blanks, hyphens and brackets do not count".to_owned();
        commands::user::normal_phone(text).map(Phone).map_err(unfit)
    }
}

impl<'de> Deserialize<'de> for Phone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Phone, D::Error> {
        text_of(deserializer, "a phone number")?.parse().map_err(D::Error::custom)
    }
}

impl PartialSchema for Phone {
    fn schema() -> RefOr<Schema> {
        string("A phone number; blanks, hyphens and brackets in it do not count.")
            .pattern(Some(r"^[ ()\-]*\+?[ ()\-]*([0-9][ ()\-]*){5,20}$"))
            .examples(["+8613800138000"])
            .into()
    }
}
impl ToSchema for Phone {}

/// A zone of the tz database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(pub domain::time::ZoneName);

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Zone, D::Error> {
        text_of(deserializer, "a zone like Asia/Shanghai")?.parse().map(Zone).map_err(D::Error::custom)
    }
}

impl PartialSchema for Zone {
    fn schema() -> RefOr<Schema> {
        string("A zone of the tz database, by name.").pattern(Some(r"^[A-Za-z_]+(/[A-Za-z0-9_+\-]+)*$")).examples(["Asia/Shanghai"]).into()
    }
}
impl ToSchema for Zone {}

/// An instant on the wall clock of a zone, with its offset.
#[must_use]
pub fn in_zone(time: Timestamp, zone: &domain::time::ZoneName) -> String {
    let zoned = time.jiff().to_zoned(zone.zone());
    zoned.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string()
}

/// A value's text as JSON.
pub fn text(value: impl Display) -> serde_json::Value {
    serde_json::Value::String(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_plain_decimal_text_of_at_most_two_decimals() {
        for good in ["0.01", "5", "50.00", "999999999999.99", "0.1"] {
            assert!(good.parse::<PositiveYuan>().is_ok(), "{good}");
        }
        for bad in ["0", "0.00", "-1", "+5", "1_000", "1e3", ".5", "5.", "1.005", "007", "", " 5", "1000000000000", "٣"] {
            assert!(bad.parse::<PositiveYuan>().is_err(), "{bad}");
        }
        assert_eq!("5".parse::<PositiveYuan>().unwrap().0.to_string(), "5.00");
    }

    #[test]
    fn a_number_with_too_many_decimals_is_told_so() {
        let said = |text: &str| text.parse::<Kwh>().unwrap_err();
        assert_eq!(said("3.00001"), "\"3.00001\" has 5 decimals; at most 4 are taken, like 12.5000");
        for text in ["three", "3.x0001", "1e400", "3.0000x", "-3.00001", "3.٣٣٣٣٣"] {
            assert!(said(text).ends_with("is not a decimal number like 12.5000"), "{}", said(text));
        }
    }

    #[test]
    fn an_amount_as_a_json_number_is_refused() {
        assert!(serde_json::from_str::<PositiveYuan>("12.5").unwrap_err().to_string().contains("decimal text"));
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_zero_after_the_point() {
        let read = |text: &str| serde_json::from_str::<Weekday>(text).ok().map(|day| day.0);
        assert_eq!(
            (read("7"), read("7.0"), read("0"), read("8"), read("1.5"), read("-1"), read("\"1\"")),
            (Some(7), Some(7), None, None, None, None, None)
        );
    }

    #[test]
    fn a_time_has_an_offset() {
        for good in ["2026-03-01T08:30:12+08:00", "2026-03-01T00:30:12Z", "2026-03-01T00:30:12.123456Z"] {
            assert!(good.parse::<Time>().is_ok(), "{good}");
        }
        for bad in ["2026-03-01T08:30:12", "2026-03-01", "2026-03-01T08:30:12+08:00[Asia/Shanghai]", "2026-03-01 08:30:12Z", "now", ""] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_is_shown_on_the_wall_clock_of_its_zone() {
        let time = "2026-03-01T00:30:12Z".parse::<Time>().unwrap().0;
        assert_eq!(in_zone(time, &domain::time::ZoneName::shanghai()), "2026-03-01T08:30:12+08:00");
    }

    #[test]
    fn a_text_is_one_visible_line() {
        assert!("a b".parse::<Note>().is_ok());
        for bad in ["", "  ", "a\nb", "\u{7f}"] {
            assert!(bad.parse::<Note>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(501).parse::<Note>().is_err());
    }
}
