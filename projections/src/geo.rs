//! Coordinates for distances. Stations are published in WGS 84 or in GCJ-02, the datum of Chinese maps; queries are in WGS 84.
//!
//! Floating point is at home here and nowhere else: nothing of this touches money or energy, and what was published is kept as published.
//! GCJ-02 is a public offset formula without a public inverse; the inverse here repeats the offset until it fits to a millimetre or so.

use std::f64::consts::PI;

use rust_decimal::prelude::ToPrimitive as _;

use domain::station::{Datum, Place};

/// Half the longer axis of the Krasovsky 1940 ellipsoid, which the offset is defined on.
const SEMI_MAJOR_M: f64 = 6_378_245.0;
/// The square of its eccentricity.
const ECCENTRICITY_SQUARED: f64 = 0.006_693_421_622_965_943;
/// Each round of the inverse wins about four digits.
const ROUNDS_MAX: usize = 10;
/// Degrees; about a millimetre.
const CLOSE_ENOUGH: f64 = 1e-8;

/// A point in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// East of Greenwich.
    pub longitude: f64,
    /// North of the equator.
    pub latitude: f64,
}

/// A published place in WGS 84.
#[must_use]
pub fn wgs84(place: &Place) -> Point {
    let published =
        Point { longitude: place.longitude.to_f64().unwrap_or_default(), latitude: place.latitude.to_f64().unwrap_or_default() };
    match place.datum {
        Datum::Wgs84 => published,
        Datum::Gcj02 => from_gcj02(published),
    }
}

/// GCJ-02 to WGS 84. Outside China the two are the same.
#[must_use]
pub fn from_gcj02(published: Point) -> Point {
    let mut guess = published;
    for _ in 0..ROUNDS_MAX {
        let there = to_gcj02(guess);
        let off = Point { longitude: there.longitude - published.longitude, latitude: there.latitude - published.latitude };
        guess = Point { longitude: guess.longitude - off.longitude, latitude: guess.latitude - off.latitude };
        if off.longitude.abs().max(off.latitude.abs()) < CLOSE_ENOUGH {
            break;
        }
    }
    guess
}

/// WGS 84 to GCJ-02. Outside China the two are the same.
#[must_use]
pub fn to_gcj02(point: Point) -> Point {
    if !in_china(point) {
        return point;
    }
    let (east, north) = (point.longitude - 105.0, point.latitude - 35.0);
    let radians = point.latitude.to_radians();
    let curve = 1.0 - ECCENTRICITY_SQUARED * radians.sin().powi(2);
    let root = curve.sqrt();
    let latitude_off = (latitude_offset(east, north) * 180.0) / ((SEMI_MAJOR_M * (1.0 - ECCENTRICITY_SQUARED)) / (curve * root) * PI);
    let longitude_off = (longitude_offset(east, north) * 180.0) / (SEMI_MAJOR_M / root * radians.cos() * PI);
    Point { longitude: point.longitude + longitude_off, latitude: point.latitude + latitude_off }
}

/// The rectangle in which Chinese maps apply the offset.
fn in_china(point: Point) -> bool {
    (72.004..=137.8347).contains(&point.longitude) && (0.8293..=55.8271).contains(&point.latitude)
}

fn latitude_offset(x: f64, y: f64) -> f64 {
    -100.0
        + 2.0 * x
        + 3.0 * y
        + 0.2 * y * y
        + 0.1 * x * y
        + 0.2 * x.abs().sqrt()
        + wave(6.0, x, 20.0)
        + wave(2.0, x, 20.0)
        + wave(1.0, y, 20.0)
        + wave(1.0 / 3.0, y, 40.0)
        + wave(1.0 / 12.0, y, 160.0)
        + wave(1.0 / 30.0, y, 320.0)
}

fn longitude_offset(x: f64, y: f64) -> f64 {
    300.0
        + x
        + 2.0 * y
        + 0.1 * x * x
        + 0.1 * x * y
        + 0.1 * x.abs().sqrt()
        + wave(6.0, x, 20.0)
        + wave(2.0, x, 20.0)
        + wave(1.0, x, 20.0)
        + wave(1.0 / 3.0, x, 40.0)
        + wave(1.0 / 12.0, x, 150.0)
        + wave(1.0 / 30.0, x, 300.0)
}

fn wave(frequency: f64, at: f64, height: f64) -> f64 {
    height * (frequency * at * PI).sin() * 2.0 / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metres(from: Point, to: Point) -> f64 {
        let (north, east) = (to.latitude - from.latitude, (to.longitude - from.longitude) * from.latitude.to_radians().cos());
        north.hypot(east) * 111_320.0
    }

    /// Tiananmen in WGS 84; the known offset there is some 550 metres.
    const TIANANMEN: Point = Point { longitude: 116.391_3, latitude: 39.907_5 };

    #[test]
    fn the_offset_in_beijing_is_some_hundred_metres_to_the_north_east() {
        let there = to_gcj02(TIANANMEN);
        assert!((there.longitude - 116.397_54).abs() < 1e-4 && (there.latitude - 39.908_90).abs() < 1e-4, "{there:?}");
        assert!((400.0..700.0).contains(&metres(TIANANMEN, there)));
    }

    #[test]
    fn there_and_back_is_within_a_centimetre_all_over_china() {
        for (longitude, latitude) in
            [(75.0, 39.5), (87.6, 43.8), (91.1, 29.6), (104.06, 30.67), (114.06, 22.54), (121.47, 31.23), (126.6, 45.8)]
        {
            let point = Point { longitude, latitude };
            assert!(metres(point, from_gcj02(to_gcj02(point))) < 0.01, "{point:?}");
        }
    }

    #[test]
    fn outside_china_nothing_moves() {
        let cary = Point { longitude: -78.78, latitude: 35.79 };
        assert_eq!(from_gcj02(cary), cary);
    }
}
