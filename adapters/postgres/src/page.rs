//! Pages of one read model: filters, text, order and cursor as SQL.
//!
//! Column names come from the row types alone; every value is bound. A page begins where the last one ended by comparing with its last
//! row (keyset), so that page one thousand costs what page one costs, and rows that come in between move nothing.

use std::collections::HashMap;
use std::sync::OnceLock;

use domain::ids::OperatorId;
use projections::query::{Cursor, Found, Item, LIMIT_MAX, Query, QueryError, Test};
use projections::table::{ColumnShape, Search, Table};
use projections::value::{ColumnType, Value};
use tokio_postgres::Row;

use crate::ReadModels;
use crate::cells::{Parameter, array, cells, parameter};
use crate::error::database;
use crate::schema::{self, WORD_ENDS};
use crate::store::borrowed;

/// The most words that a search looks for, and how much of each.
const WORDS_MAX: usize = 8;
const WORD_CHARS_MAX: usize = 64;

/// The shape of a read model.
pub(crate) fn table(view: &str) -> Result<&'static Table, QueryError> {
    static TABLES: OnceLock<HashMap<&'static str, &'static Table>> = OnceLock::new();
    let tables = TABLES.get_or_init(|| {
        let definitions = projections::all().into_iter().map(|projection| projection.definition());
        definitions.map(|definition| (definition.name, definition.table)).collect()
    });
    tables.get(view).copied().ok_or_else(|| QueryError::UnknownView(view.chars().take(64).collect()))
}

/// Conditions, and the parameters that they speak of.
#[derive(Default)]
pub(crate) struct Conditions<'a> {
    pub(crate) clauses: Vec<String>,
    pub(crate) parameters: Vec<Parameter<'a>>,
}

impl<'a> Conditions<'a> {
    /// The place of a new parameter, with its type.
    pub(crate) fn bind(&mut self, parameter: Parameter<'a>, sql_type: &str) -> String {
        self.parameters.push(parameter);
        format!("${}::{sql_type}", self.parameters.len())
    }

    pub(crate) fn of_operator(operator_id: OperatorId) -> Conditions<'a> {
        let mut conditions = Conditions::default();
        let operator = conditions.bind(Box::new(operator_id.0), "uuid");
        conditions.clauses.push(format!("t.operator_id = {operator}"));
        conditions
    }

    pub(crate) fn all(&self) -> String {
        self.clauses.join(" AND ")
    }

    fn compare(&mut self, column: &ColumnShape, operator: &str, value: &'a Value) -> Result<(), QueryError> {
        fits(column, value)?;
        let bound = self.bind(parameter(column.column_type, value), bare_type(column.column_type));
        self.clauses.push(format!("t.{} {operator} {bound}", column.name));
        Ok(())
    }

    pub(crate) fn test(&mut self, column: &ColumnShape, test: &'a Test) -> Result<(), QueryError> {
        match test {
            Test::Is(value) => self.compare(column, "=", value),
            Test::IsNot(value) => self.compare(column, "IS DISTINCT FROM", value),
            Test::AtLeast(value) => self.compare(column, ">=", value),
            Test::Above(value) => self.compare(column, ">", value),
            Test::AtMost(value) => self.compare(column, "<=", value),
            Test::Below(value) => self.compare(column, "<", value),
            Test::OneOf(values) => {
                values.iter().try_for_each(|value| fits(column, value))?;
                let bound = self.bind(array(column.column_type, values.iter()), schema::array_type(column.column_type));
                self.clauses.push(format!("t.{} = ANY({bound})", column.name));
                Ok(())
            }
            Test::IsEmpty(empty) => {
                self.clauses.push(format!("t.{} IS {}NULL", column.name, if *empty { "" } else { "NOT " }));
                Ok(())
            }
        }
    }

    /// Looks for text as the read model's search says.
    pub(crate) fn text(&mut self, table: &Table, text: &str) -> Result<(), QueryError> {
        match table.search {
            Search::None => return Err(unknown(table, "text")),
            Search::Words(columns) => {
                let bound = self.bind(Box::new(words(text)), "text");
                let document = schema::words_expression(columns);
                self.clauses.push(format!("{document} @@ to_tsquery('simple', {bound})"));
            }
            Search::Contains(columns) => {
                let bound = self.bind(Box::new(format!("%{}%", escaped(text))), "text");
                let any: Vec<String> = columns.iter().map(|column| format!("t.{column} ILIKE {bound}")).collect();
                self.clauses.push(format!("({})", any.join(" OR ")));
            }
        }
        Ok(())
    }
}

/// The columns that give a page its order.
fn order_columns(table: &'static Table, order: Option<&str>) -> Result<Vec<&'static ColumnShape>, QueryError> {
    let mut columns = Vec::new();
    if let Some(name) = order {
        // A column that may be empty has no place in a row comparison.
        columns.push(table.column(name).filter(|column| !column.nullable && comparable(column)).ok_or_else(|| unknown(table, name))?);
    }
    columns.extend(table.key().iter().filter(|key| Some(key.name) != order));
    Ok(columns)
}

impl ReadModels {
    pub(crate) async fn find_page(&self, query: &Query) -> Result<Found, QueryError> {
        let table = table(&query.view)?;
        let order = order_columns(table, query.order.as_deref())?;
        let order_name = format!("{}{}", if query.descending { "-" } else { "" }, query.order.as_deref().unwrap_or_default());
        let after = after(query.cursor.as_ref(), &query.view, &order_name, &order)?;
        let mut conditions = Conditions::of_operator(query.operator_id);
        for (name, test) in &query.filters {
            let column = table.column(name).filter(|column| comparable(column)).ok_or_else(|| unknown(table, name))?;
            conditions.test(column, test)?;
        }
        if let Some(text) = query.text.as_deref().filter(|text| !text.trim().is_empty()) {
            conditions.text(table, text)?;
        }
        if !after.is_empty() {
            let bound: Vec<String> = order
                .iter()
                .zip(&after)
                .map(|(column, value)| conditions.bind(parameter(column.column_type, value), bare_type(column.column_type)))
                .collect();
            let names: Vec<String> = order.iter().map(|column| format!("t.{}", column.name)).collect();
            let side = if query.descending { "<" } else { ">" };
            conditions.clauses.push(format!("({}) {side} ({})", names.join(", "), bound.join(", ")));
        }
        let limit = query.limit.clamp(1, LIMIT_MAX);
        let direction = if query.descending { " DESC" } else { "" };
        let by: Vec<String> = order.iter().map(|column| format!("t.{}{direction}", column.name)).collect();
        // One more than asked for says whether there is another page.
        let sql = format!(
            "SELECT {} FROM read.{} t WHERE {} ORDER BY {} LIMIT {}",
            select(table),
            table.name,
            conditions.all(),
            by.join(", "),
            limit + 1
        );
        let rows = self.fetch(&sql, &conditions.parameters).await?;
        let mut items = read(table, &rows)?;
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = match (more, items.last()) {
            (true, Some(last)) => Some(Cursor { view: query.view.clone(), order: order_name, cells: cells_of(last, &order) }),
            (true | false, _) => None,
        };
        Ok(Found { items, next })
    }

    pub(crate) async fn find_one(&self, view: &str, operator_id: OperatorId, key: &[&str]) -> Result<Option<Item>, QueryError> {
        let table = table(view)?;
        if key.len() != table.key_count {
            return Err(unknown(table, "key"));
        }
        let parsed: Vec<Test> =
            table.key().iter().zip(key).map(|(column, text)| parse(column, text).map(Test::Is)).collect::<Result<_, _>>()?;
        let mut conditions = Conditions::of_operator(operator_id);
        for (column, test) in table.key().iter().zip(&parsed) {
            conditions.test(column, test)?;
        }
        let sql = format!("SELECT {} FROM read.{} t WHERE {}", select(table), table.name, conditions.all());
        let rows = self.fetch(&sql, &conditions.parameters).await?;
        Ok(read(table, &rows)?.into_iter().next())
    }

    /// Runs a query on a connection for queries.
    pub(crate) async fn fetch(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, QueryError> {
        let (client, asking) = self.query_client().await?;
        let rows = asking.answer(async {
            let statement = client.prepare_cached(sql).await?;
            client.query(&statement, &borrowed(parameters)).await
        });
        Ok(rows.await?)
    }
}

/// The rows as JSON objects.
pub(crate) fn read(table: &Table, rows: &[Row]) -> Result<Vec<Item>, QueryError> {
    let item = |row: &Row| -> Result<Item, QueryError> {
        let cells = cells(row, table.columns).map_err(|error| database(&error))?;
        Ok(table.columns.iter().zip(cells).map(|(column, cell)| (column.name.to_owned(), cell.to_json(column.column_type))).collect())
    };
    rows.iter().map(item).collect()
}

pub(crate) fn select(table: &Table) -> String {
    table.columns.iter().map(|column| format!("t.{}", column.name)).collect::<Vec<_>>().join(", ")
}

pub(crate) fn unknown(table: &Table, column: &str) -> QueryError {
    QueryError::UnknownColumn { view: table.name.to_owned(), column: column.chars().take(64).collect() }
}

/// The values after which a page begins; none at the beginning.
fn after(cursor: Option<&Cursor>, view: &str, order: &str, columns: &[&ColumnShape]) -> Result<Vec<Value>, QueryError> {
    let Some(cursor) = cursor else { return Ok(Vec::new()) };
    if cursor.view != view || cursor.order != order || cursor.cells.len() != columns.len() {
        return Err(QueryError::BadCursor);
    }
    columns.iter().zip(&cursor.cells).map(|(column, text)| parse(column, text).map_err(|_| QueryError::BadCursor)).collect()
}

fn cells_of(item: &Item, columns: &[&ColumnShape]) -> Vec<String> {
    let text = |column: &&ColumnShape| match item.get(column.name) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    columns.iter().map(text).collect()
}

fn parse(column: &ColumnShape, text: &str) -> Result<Value, QueryError> {
    Value::parse(column.column_type, text)
        .map_err(|error| QueryError::BadValue { column: column.name.to_owned(), reason: error.to_string() })
}

const fn comparable(column: &ColumnShape) -> bool {
    !matches!(column.column_type, ColumnType::Json)
}

fn fits(column: &ColumnShape, value: &Value) -> Result<(), QueryError> {
    let fits = matches!(
        (column.column_type, value),
        (ColumnType::Uuid, Value::Uuid(_))
            | (ColumnType::Text, Value::Text(_))
            | (ColumnType::Decimal { .. }, Value::Decimal(_))
            | (ColumnType::Int, Value::Int(_))
            | (ColumnType::Float, Value::Float(_))
            | (ColumnType::Bool, Value::Bool(_))
            | (ColumnType::Timestamp, Value::Timestamp(_))
            | (ColumnType::Date, Value::Date(_))
    );
    if fits {
        Ok(())
    } else {
        Err(QueryError::BadValue { column: column.name.to_owned(), reason: format!("cannot be compared with {value:?}") })
    }
}

/// Without precision and scale: a finer number is compared as it is, not rounded first.
const fn bare_type(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Uuid => "uuid",
        ColumnType::Text => "text",
        ColumnType::Decimal { .. } => "numeric",
        ColumnType::Int => "bigint",
        ColumnType::Float => "double precision",
        ColumnType::Bool => "boolean",
        ColumnType::Timestamp => "timestamptz",
        ColumnType::Date => "date",
        ColumnType::Json => "jsonb",
    }
}

/// All words, each by its beginning. Quoted, so that what people type is never an operator.
fn words(text: &str) -> String {
    let ends = |character: char| character.is_whitespace() || WORD_ENDS.contains(character) || matches!(character, '\'' | '\\' | '\0');
    let words = text.split(ends).filter(|word| !word.is_empty()).take(WORDS_MAX);
    words.map(|word| format!("'{}':*", word.chars().take(WORD_CHARS_MAX).collect::<String>())).collect::<Vec<_>>().join(" & ")
}

/// For `LIKE`, with its wild cards taken as they are.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_").replace('\0', "")
}
