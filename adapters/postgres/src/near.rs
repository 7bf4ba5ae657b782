//! Stations with their free connectors, by distance or by name.
//!
//! A rectangle around the point narrows the search through an index; the distance on the sphere decides. No extension is asked for.

use projections::query::{Cursor, Found, Item, LIMIT_MAX, Near, QueryError, StationSearch};
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::ReadModels;
use crate::error::database;
use crate::page::{Conditions, read, select, table};

/// The mean radius of the earth.
const EARTH_RADIUS_M: f64 = 6_371_008.8;
/// What is added to the rectangle, so that rounding leaves nobody out.
const MARGIN: f64 = 1.001;

/// A degree of latitude.
fn degree_m() -> f64 {
    EARTH_RADIUS_M.to_radians()
}

impl ReadModels {
    pub(crate) async fn find_stations(&self, search: &StationSearch) -> Result<Found, QueryError> {
        let stations = table("stations")?;
        let mut inner = Conditions::of_operator(search.operator_id);
        inner.clauses.push("NOT t.retired".to_owned());
        if let Some(text) = search.text.as_deref().filter(|text| !text.trim().is_empty()) {
            inner.text(stations, text)?;
        }
        let distance = match search.near {
            Some(near) => around(&mut inner, near)?,
            None => "NULL::double precision".to_owned(),
        };
        let inner_clauses = inner.all();
        let mut outer = Vec::new();
        if let Some(near) = search.near {
            let radius = inner.bind(Box::new(near.radius_m), "double precision");
            outer.push(format!("t.distance_m <= {radius}"));
        }
        if search.only_available {
            outer.push("c.available_count > 0".to_owned());
        }
        let order = if search.near.is_some() { "distance_m" } else { "name" };
        if let Some(cursor) = &search.cursor {
            outer.push(after(cursor, order, &mut inner)?);
        }
        let limit = search.limit.clamp(1, LIMIT_MAX);
        let filter = if outer.is_empty() { "true".to_owned() } else { outer.join(" AND ") };
        let sql = format!(
            "SELECT {columns}, t.distance_m, c.connector_count, c.available_count, c.occupied_count, c.faulted_count, c.offline_count
             FROM (SELECT t.*, {distance} AS distance_m FROM read.stations t WHERE {inner_clauses}) t
             CROSS JOIN LATERAL (
                 SELECT count(*) AS connector_count,
                        count(*) FILTER (WHERE status = 'available') AS available_count,
                        count(*) FILTER (WHERE status = 'occupied') AS occupied_count,
                        count(*) FILTER (WHERE status = 'faulted') AS faulted_count,
                        count(*) FILTER (WHERE status = 'offline') AS offline_count
                 FROM read.connectors c
                 WHERE c.operator_id = t.operator_id AND c.station_id = t.station_id AND NOT c.retired) c
             WHERE {filter} ORDER BY t.{order}, t.station_id LIMIT {more}",
            columns = select(stations),
            more = limit + 1,
        );
        let rows = self.fetch(&sql, &inner.parameters).await?;
        let has_more = rows.len() > limit as usize;
        let rows = &rows[..rows.len().min(limit as usize)];
        let mut items = read(stations, rows)?;
        for (item, row) in items.iter_mut().zip(rows) {
            complete(item, row).map_err(|error| database(&error))?;
        }
        let next = match rows.last() {
            Some(last) if has_more => Some(cursor_at(last, order).map_err(|error| database(&error))?),
            Some(_) | None => None,
        };
        Ok(Found { items, next })
    }
}

/// Narrows to a rectangle and gives the distance's expression (haversine).
fn around(conditions: &mut Conditions<'_>, near: Near) -> Result<String, QueryError> {
    let bad = |column: &str, reason: &str| QueryError::BadValue { column: column.to_owned(), reason: reason.to_owned() };
    if !(-180.0..=180.0).contains(&near.longitude) || !(-90.0..=90.0).contains(&near.latitude) {
        return Err(bad("near", "longitude and latitude are degrees, like 114.06,22.54"));
    }
    if !(near.radius_m > 0.0 && near.radius_m <= 20_040_000.0) {
        return Err(bad("radius_m", "is more than nothing and at most half around the earth"));
    }
    let reach = near.radius_m / degree_m() * MARGIN;
    let (south, north) = (near.latitude - reach, near.latitude + reach);
    let lowest = conditions.bind(Box::new(south), "double precision");
    let highest = conditions.bind(Box::new(north), "double precision");
    conditions.clauses.push(format!("t.latitude BETWEEN {lowest} AND {highest}"));
    let narrowest = south.abs().max(north.abs()).to_radians().cos();
    let sideways = reach / narrowest.max(0.000_001);
    // Across the date line or near a pole, a rectangle of longitudes says nothing.
    if south > -90.0 && north < 90.0 && near.longitude - sideways > -180.0 && near.longitude + sideways < 180.0 {
        let west = conditions.bind(Box::new(near.longitude - sideways), "double precision");
        let east = conditions.bind(Box::new(near.longitude + sideways), "double precision");
        conditions.clauses.push(format!("t.longitude BETWEEN {west} AND {east}"));
    }
    let longitude = conditions.bind(Box::new(near.longitude), "double precision");
    let latitude = conditions.bind(Box::new(near.latitude), "double precision");
    Ok(format!(
        "2 * {EARTH_RADIUS_M} * asin(least(1, sqrt(power(sin(radians(t.latitude - {latitude}) / 2), 2) + cos(radians({latitude})) \
         * cos(radians(t.latitude)) * power(sin(radians(t.longitude - {longitude}) / 2), 2))))"
    ))
}

fn after(cursor: &Cursor, order: &str, conditions: &mut Conditions<'_>) -> Result<String, QueryError> {
    let [first, id] = cursor.cells.as_slice() else { return Err(QueryError::BadCursor) };
    if cursor.view != "stations" || cursor.order != order {
        return Err(QueryError::BadCursor);
    }
    let id: Uuid = id.parse().map_err(|_| QueryError::BadCursor)?;
    let first = if order == "name" {
        conditions.bind(Box::new(first.clone()), "text")
    } else {
        let distance: f64 = first.parse().map_err(|_| QueryError::BadCursor)?;
        conditions.bind(Box::new(distance), "double precision")
    };
    let id = conditions.bind(Box::new(id), "uuid");
    Ok(format!("(t.{order}, t.station_id) > ({first}, {id})"))
}

fn cursor_at(row: &Row, order: &str) -> Result<Cursor, tokio_postgres::Error> {
    let first = if order == "name" { row.try_get::<_, String>("name")? } else { row.try_get::<_, f64>("distance_m")?.to_string() };
    let id: Uuid = row.try_get("station_id")?;
    Ok(Cursor { view: "stations".to_owned(), order: order.to_owned(), cells: vec![first, id.to_string()] })
}

fn complete(item: &mut Item, row: &Row) -> Result<(), tokio_postgres::Error> {
    let distance: Option<f64> = row.try_get("distance_m")?;
    let count = |name: &str| row.try_get::<_, i64>(name);
    let (total, available) = (count("connector_count")?, count("available_count")?);
    item.insert("distance_m".to_owned(), json!(distance.map(|metres| (metres * 10.0).round() / 10.0)));
    item.insert(
        "connectors".to_owned(),
        json!({
            "total": total,
            "available": available,
            "occupied": count("occupied_count")?,
            "faulted": count("faulted_count")?,
            "offline": count("offline_count")?,
        }),
    );
    Ok(())
}
