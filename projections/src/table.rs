//! The shape of a read model: its table, and the row type that the [`row!`](crate::row) macro writes.
//!
//! A shape is data: the adapter makes its tables, loads, writes and queries from it. No SQL stands here.

use std::fmt::Debug;
use std::hash::Hash;

use crate::value::{Column, ColumnType, Value, ValueError};

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnShape {
    /// Its name, with its unit: `total_yuan`, `energy_kwh`, `started_at`.
    pub name: &'static str,
    /// What it holds.
    pub column_type: ColumnType,
    /// Whether a cell may be empty.
    pub nullable: bool,
    /// What it means.
    pub doc: &'static str,
}

/// An index that queries need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    /// Its columns, in order. The key follows them by itself, so that pages have a stable order.
    pub columns: &'static [&'static str],
}

/// How people find rows by text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Not at all.
    None,
    /// By the beginnings of words in these columns, through an index: many rows, numbers and notes.
    Words(&'static [&'static str]),
    /// By any part of these columns, without an index: few rows, names in any script.
    Contains(&'static [&'static str]),
}

/// The shape of a read model's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// The name of the view in schema `read`, and the stem of the builds' tables.
    pub name: &'static str,
    /// What one row is.
    pub doc: &'static str,
    /// All columns, the key's first.
    pub columns: &'static [ColumnShape],
    /// How many of them are the key.
    pub key_count: usize,
    /// What queries need beside the key.
    pub indexes: &'static [Index],
    /// How people find rows by text.
    pub search: Search,
}

impl Table {
    /// The columns of the key.
    #[must_use]
    pub fn key(&self) -> &'static [ColumnShape] {
        self.columns.split_at(self.key_count).0
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&'static ColumnShape> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A row type. Written by [`row!`](crate::row).
pub trait Row: Debug + Clone + PartialEq + Send + Sync + 'static {
    /// The key's columns as a tuple.
    type Key: RowKey;
    /// The table.
    const TABLE: &'static Table;

    /// The key.
    fn key(&self) -> Self::Key;

    /// The cells, in the table's order.
    fn to_values(&self) -> Vec<Value>;

    /// Back from cells.
    ///
    /// # Errors
    /// When a cell does not hold what its column says.
    fn from_values(values: Vec<Value>) -> Result<Self, ValueError>;
}

/// A key: a tuple of columns.
pub trait RowKey: Debug + Clone + Eq + Ord + Hash + Send + Sync + 'static {
    /// The cells, in the key's order.
    fn to_values(&self) -> Vec<Value>;
}

macro_rules! keys {
    ($($($part:ident $index:tt),+;)*) => {$(
        impl<$($part: Column + Debug + Clone + Eq + Ord + Hash + Send + Sync + 'static),+> RowKey for ($($part,)+) {
            fn to_values(&self) -> Vec<Value> {
                vec![$(self.$index.to_value()),+]
            }
        }
    )*};
}
keys! {
    A 0;
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
    A 0, B 1, C 2, D 3, E 4;
}

/// Declares a row type and its table: the key's columns, then the others, then what queries need.
///
/// ```
/// projections::row! {
///     /// One wallet.
///     pub struct PurseRow in "purses" {
///         key {
///             /// Whose.
///             user_id: domain::ids::UserId,
///         }
///         /// What is in it.
///         balance_yuan: domain::units::Money,
///     }
///     index(balance_yuan);
/// }
/// ```
#[macro_export]
macro_rules! row {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident in $table:literal {
            key { $($(#[doc = $key_doc:literal])+ $key:ident: $key_type:ty,)+ }
            $($(#[doc = $field_doc:literal])+ $field:ident: $field_type:ty,)*
        }
        $(index($($indexed:ident),+);)*
        $(words($($word:ident),+);)?
        $(contains($($contained:ident),+);)?
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[doc = $key_doc])+ pub $key: $key_type,)+
            $($(#[doc = $field_doc])+ pub $field: $field_type,)*
        }

        impl $crate::table::Row for $name {
            type Key = ($($key_type,)+);
            const TABLE: &'static $crate::table::Table = &$crate::table::Table {
                name: $table,
                doc: concat!($($doc),+),
                columns: &[
                    $($crate::table::ColumnShape {
                        name: stringify!($key),
                        column_type: <$key_type as $crate::value::Column>::TYPE,
                        nullable: <$key_type as $crate::value::Column>::NULLABLE,
                        doc: concat!($($key_doc),+),
                    },)+
                    $($crate::table::ColumnShape {
                        name: stringify!($field),
                        column_type: <$field_type as $crate::value::Column>::TYPE,
                        nullable: <$field_type as $crate::value::Column>::NULLABLE,
                        doc: concat!($($field_doc),+),
                    },)*
                ],
                key_count: [$(stringify!($key)),+].len(),
                indexes: &[$($crate::table::Index { columns: &[$(stringify!($indexed)),+] },)*],
                search: $crate::row!(@search $(words($($word),+))? $(contains($($contained),+))?),
            };

            fn key(&self) -> Self::Key {
                ($(self.$key.clone(),)+)
            }

            fn to_values(&self) -> Vec<$crate::value::Value> {
                vec![
                    $($crate::value::Column::to_value(&self.$key),)+
                    $($crate::value::Column::to_value(&self.$field),)*
                ]
            }

            fn from_values(values: Vec<$crate::value::Value>) -> Result<Self, $crate::value::ValueError> {
                let (expected, found) = (Self::TABLE.columns.len(), values.len());
                let mut cells = values.into_iter();
                let mut next = || cells.next().ok_or($crate::value::ValueError::Width { expected, found });
                Ok(Self {
                    $($key: $crate::value::Column::from_value(next()?)?,)+
                    $($field: $crate::value::Column::from_value(next()?)?,)*
                })
            }
        }
    };
    (@search) => { $crate::table::Search::None };
    (@search words($($word:ident),+)) => { $crate::table::Search::Words(&[$(stringify!($word)),+]) };
    (@search contains($($contained:ident),+)) => { $crate::table::Search::Contains(&[$(stringify!($contained)),+]) };
}
