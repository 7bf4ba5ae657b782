//! One row by its columns' names, and the readings that formats share. A reading never rounds, trims digits or guesses: what it cannot take, it names.

use std::collections::HashMap;

use domain::station::{Datum, Place};
use domain::text::TextError;
use domain::time::{Timestamp, ZoneName};
use domain::units::Energy;
use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;
use rust_decimal::Decimal;

/// Why a row cannot be imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RowError {
    /// Cut off, or a separator too many.
    #[error("the row has {found} columns, the heading has {expected}")]
    Columns { found: usize, expected: usize },
    /// Not a text.
    #[error("{column} is not UTF-8")]
    NotText { column: &'static str },
    /// The format reads a column that it has not named as one it needs, and the file does not have it.
    #[error("there is no column {column}: the format has to name it in `columns`")]
    NoColumn { column: &'static str },
    /// Nothing where something has to be.
    #[error("{column} is empty")]
    Empty { column: &'static str },
    /// Something else than the column holds.
    #[error("{column}: \"{value}\" {problem}")]
    Unreadable { column: &'static str, value: String, problem: &'static str },
    /// The ledger would not take it: too long, or with a control character in it.
    #[error(transparent)]
    Text(#[from] TextError),
    /// Nothing ends before it begins: the end, or the zone, is not what the format takes it for.
    #[error("it ends at {ended_at}, before it begins at {started_at}")]
    EndsBeforeItBegins { started_at: Timestamp, ended_at: Timestamp },
    /// The place is not on the earth.
    #[error("longitude {longitude}, latitude {latitude} is not a place")]
    NotAPlace { longitude: Decimal, latitude: Decimal },
}

/// A row, by its columns' names.
pub(crate) struct Fields<'a> {
    record: &'a csv::ByteRecord,
    places: &'a HashMap<String, usize>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(record: &'a csv::ByteRecord, places: &'a HashMap<String, usize>, expected: usize) -> Result<Fields<'a>, RowError> {
        if record.len() == expected { Ok(Fields { record, places }) } else { Err(RowError::Columns { found: record.len(), expected }) }
    }

    /// The column's text without blanks around it; it may be empty.
    pub(crate) fn text(&self, column: &'static str) -> Result<&'a str, RowError> {
        let place = self.places.get(column).ok_or(RowError::NoColumn { column })?;
        let bytes = self.record.get(*place).unwrap_or_default();
        std::str::from_utf8(bytes).map(str::trim).map_err(|_| RowError::NotText { column })
    }

    /// The column's text, which has to say something.
    pub(crate) fn required(&self, column: &'static str) -> Result<&'a str, RowError> {
        self.text(column).and_then(|text| if text.is_empty() { Err(RowError::Empty { column }) } else { Ok(text) })
    }

    /// An instant with its offset.
    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, RowError> {
        self.parsed(column, "is not an RFC 3339 time with an offset", |text| text.parse().ok())
    }

    /// An instant as a clock on the wall of `zone` shows it, in a form of strftime like `%d.%m.%Y %H:%M`. Of the hour that comes twice when clocks go back it is the
    /// first; the hour that is left out when they go forward has no times. Both are rules and no guesses: a session's id comes from when it began.
    #[cfg_attr(not(test), expect(dead_code, reason = "for layouts to come: docs/import.md offers it"))]
    pub(crate) fn local_time(&self, column: &'static str, form: &str, zone: &ZoneName) -> Result<Timestamp, RowError> {
        self.parsed(column, "is not a local time in the form of this format, or was left out when clocks went forward", |text| {
            let moment = zone.zone().to_ambiguous_timestamp(DateTime::strptime(form, text).ok()?);
            match moment.offset() {
                AmbiguousOffset::Gap { .. } => None,
                AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                    Timestamp::from_micros(moment.earlier().ok()?.as_microsecond()).ok()
                }
            }
        })
    }

    /// `HH:MM:SS` in seconds; hours may exceed 24.
    pub(crate) fn seconds(&self, column: &'static str) -> Result<i64, RowError> {
        self.parsed(column, "is not a duration like 26:03:57", |text| {
            let mut parts =
                text.split(':').map(|part| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u32>().ok()).flatten());
            let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
            let fits = minutes < 60 && seconds < 60 && parts.next().is_none();
            fits.then(|| i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds))
        })
    }

    /// An energy, digit for digit.
    pub(crate) fn energy(&self, column: &'static str) -> Result<Energy, RowError> {
        self.parsed(column, "is not an energy in kWh with at most four decimals, 0 or more", |text| text.parse().ok())
    }

    /// An energy in kWh with a decimal comma, digit for digit. A point is refused, because it may stand for thousands.
    #[cfg_attr(not(test), expect(dead_code, reason = "for layouts to come: docs/import.md offers it"))]
    pub(crate) fn energy_with_decimal_comma(&self, column: &'static str) -> Result<Energy, RowError> {
        self.parsed(column, "is not an energy in kWh with a decimal comma and at most four decimals, 0 or more", |text| {
            if text.contains('.') { None } else { text.replace(',', ".").parse().ok() }
        })
    }

    /// An energy that the file has in Wh, digit for digit.
    #[cfg_attr(not(test), expect(dead_code, reason = "for layouts to come: docs/import.md offers it"))]
    pub(crate) fn watt_hours(&self, column: &'static str) -> Result<Energy, RowError> {
        self.parsed(column, "is not an energy in Wh with at most one decimal, 0 or more", |text| {
            let watt_hours = Decimal::from_str_exact(text).ok()?;
            watt_hours.checked_mul(Decimal::new(1, 3))?.normalize().to_string().parse().ok()
        })
    }

    /// A place, digit for digit.
    pub(crate) fn place(&self, longitude: &'static str, latitude: &'static str, datum: Datum) -> Result<Place, RowError> {
        let degrees = |column| self.parsed(column, "is not a number of degrees", |text| Decimal::from_str_exact(text).ok());
        let (longitude, latitude) = (degrees(longitude)?, degrees(latitude)?);
        if longitude.abs() > Decimal::from(180) || latitude.abs() > Decimal::from(90) {
            return Err(RowError::NotAPlace { longitude, latitude });
        }
        Ok(Place { longitude, latitude, datum })
    }

    /// What a column says in a form of its own; `problem` ends the sentence about what it does not take.
    pub(crate) fn parsed<T>(&self, column: &'static str, problem: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, RowError> {
        let text = self.required(column)?;
        parse(text).ok_or_else(|| RowError::Unreadable { column, value: text.chars().take(64).collect(), problem })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> ZoneName {
        "Europe/Berlin".parse().unwrap()
    }

    /// What one cell says, in the only column.
    fn cell<T>(value: &str, read: impl Fn(&Fields<'_>) -> Result<T, RowError>) -> Result<T, String> {
        let (record, places) = (csv::ByteRecord::from(vec![value]), HashMap::from([("cell".to_owned(), 0)]));
        read(&Fields::of(&record, &places, 1).unwrap()).map_err(|error| error.to_string())
    }

    fn local(value: &str) -> Result<String, String> {
        cell(value, |row| row.local_time("cell", "%d.%m.%Y %H:%M", &berlin())).map(|time| time.to_string())
    }

    #[test]
    fn a_local_time_is_on_the_clock_of_its_zone() {
        assert_eq!(local("14.03.2024 08:15").unwrap(), "2024-03-14T07:15:00Z");
        assert_eq!(local("14.07.2024 08:15").unwrap(), "2024-07-14T06:15:00Z");
        for wrong in ["2024-03-14 08:15", "14.03.2024", "14.03.2024 08:15:00", "31.02.2024 08:15"] {
            assert!(local(wrong).unwrap_err().contains("is not a local time in the form of this format"), "{wrong}");
        }
    }

    #[test]
    fn of_the_hour_that_comes_twice_it_is_the_first_and_the_hour_left_out_has_no_times() {
        assert_eq!(local("27.10.2024 02:30").unwrap(), "2024-10-27T00:30:00Z");
        assert_eq!(local("27.10.2024 03:00").unwrap(), "2024-10-27T02:00:00Z");
        assert!(local("31.03.2024 02:30").unwrap_err().ends_with("was left out when clocks went forward"));
        assert_eq!(local("31.03.2024 03:00").unwrap(), "2024-03-31T01:00:00Z");
    }

    #[test]
    fn a_decimal_comma_is_read_and_a_point_beside_it_is_not_guessed_at() {
        let read = |value| cell(value, |row| row.energy_with_decimal_comma("cell")).map(|energy| energy.to_string());
        assert_eq!((read("12,5").unwrap(), read("7").unwrap()), ("12.5000".to_owned(), "7.0000".to_owned()));
        for wrong in ["1.234,5", "1.234", "1,2,3", "12,34567", "-1,0", ""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn watt_hours_lose_no_digit() {
        let read = |value| cell(value, |row| row.watt_hours("cell")).map(|energy| energy.to_string());
        assert_eq!(
            (read("12345").unwrap(), read("12345.6").unwrap(), read("0").unwrap()),
            ("12.3450".into(), "12.3456".into(), "0.0000".into())
        );
        for wrong in ["12345.67", "-1", "12,5", "1 000"] {
            assert!(read(wrong).unwrap_err().contains("is not an energy in Wh"), "{wrong}");
        }
    }

    #[test]
    fn a_column_that_nobody_named_is_not_an_empty_text() {
        assert_eq!(
            cell("x", |row| row.text("cel").map(str::to_owned)).unwrap_err(),
            "there is no column cel: the format has to name it in `columns`"
        );
    }
}
