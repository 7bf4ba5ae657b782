//! One row by its columns' names, and the readings that formats share. A reading never rounds, trims digits or guesses: what it cannot take, it names.

use std::collections::HashMap;

use domain::station::{Datum, Place};
use domain::time::Timestamp;
use domain::units::Energy;
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
    /// Nothing where something has to be.
    #[error("{column} is empty")]
    Empty { column: &'static str },
    /// Something else than the column holds.
    #[error("{column}: \"{value}\" {problem}")]
    Unreadable { column: &'static str, value: String, problem: &'static str },
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
        let bytes = self.places.get(column).and_then(|place| self.record.get(*place)).unwrap_or_default();
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

    /// A place, digit for digit.
    pub(crate) fn place(&self, longitude: &'static str, latitude: &'static str, datum: Datum) -> Result<Place, RowError> {
        let degrees = |column| self.parsed(column, "is not a number of degrees", |text| Decimal::from_str_exact(text).ok());
        let (longitude, latitude) = (degrees(longitude)?, degrees(latitude)?);
        if longitude.abs() > Decimal::from(180) || latitude.abs() > Decimal::from(90) {
            return Err(RowError::NotAPlace { longitude, latitude });
        }
        Ok(Place { longitude, latitude, datum })
    }

    fn parsed<T>(&self, column: &'static str, problem: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, RowError> {
        let text = self.required(column)?;
        parse(text).ok_or_else(|| RowError::Unreadable { column, value: text.chars().take(64).collect(), problem })
    }
}
