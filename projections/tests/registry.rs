//! What must hold of all read models together.

use std::collections::BTreeSet;
use std::path::Path;

use projections::value::ColumnType;
use projections::{NOBODYS, all};

/// Every event there is, by the schemas that are committed for it.
fn event_types() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/events");
    let mut types = BTreeSet::new();
    for aggregate in std::fs::read_dir(&root).unwrap() {
        let aggregate = aggregate.unwrap();
        for file in std::fs::read_dir(aggregate.path()).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            let variant = file.split('.').next().unwrap();
            types.insert(format!("{}.{variant}", aggregate.file_name().into_string().unwrap()));
        }
    }
    assert!(types.len() > 50, "the schemas are where they were");
    types
}

#[test]
fn every_event_is_handled_by_a_read_model_or_listed_as_nobodys() {
    let types = event_types();
    let handled: BTreeSet<String> =
        all().iter().flat_map(|projection| projection.definition().handles).map(|name| (*name).to_owned()).collect();
    let nobodys: BTreeSet<String> = NOBODYS.iter().map(|name| (*name).to_owned()).collect();
    let known: BTreeSet<String> = handled.union(&nobodys).cloned().collect();
    assert_eq!(types.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "nobody handles these");
    assert_eq!(known.difference(&types).collect::<Vec<_>>(), Vec::<&String>::new(), "there are no such events");
    assert_eq!(handled.intersection(&nobodys).collect::<Vec<_>>(), Vec::<&String>::new(), "handled, and listed as nobody's");
}

#[test]
fn the_audit_trail_has_every_event_but_nobodys() {
    let audit = all().into_iter().map(|projection| projection.definition()).find(|definition| definition.name == "audit_trail").unwrap();
    let audited: BTreeSet<String> = audit.handles.iter().map(|name| (*name).to_owned()).collect();
    let expected: BTreeSet<String> = event_types().into_iter().filter(|name| !NOBODYS.contains(&name.as_str())).collect();
    assert_eq!(audited, expected);
}

#[test]
fn names_are_plain_and_never_twice() {
    let mut names = BTreeSet::new();
    for projection in all() {
        let definition = projection.definition();
        assert!(names.insert(definition.name), "{} is there twice", definition.name);
        let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        assert!(plain(definition.name), "{} goes into SQL as it stands", definition.name);
        let mut columns = BTreeSet::new();
        for column in definition.table.columns {
            assert!(plain(column.name) && columns.insert(column.name), "{}.{}", definition.name, column.name);
        }
        // PostgreSQL cuts names at 63 bytes; an index's name is the table's, the build's number and its columns.
        for index in definition.table.indexes {
            assert!(definition.name.len() + 6 + index.columns.join("_").len() < 63, "{}: {:?}", definition.name, index.columns);
            for column in index.columns {
                assert!(definition.table.column(column).is_some(), "{}.{column} is not a column", definition.name);
            }
        }
    }
}

#[test]
fn every_row_belongs_to_an_operator() {
    for projection in all() {
        let table = projection.definition().table;
        let operator = table.column("operator_id");
        assert!(operator.is_some_and(|column| column.column_type == ColumnType::Uuid && !column.nullable), "{}", table.name);
    }
}

#[test]
fn a_column_of_money_says_yuan_and_one_of_time_says_at() {
    for projection in all() {
        let table = projection.definition().table;
        for column in table.columns {
            let (name, whole) = (column.name, format!("{}.{}", table.name, column.name));
            match column.column_type {
                ColumnType::Decimal { scale: 2, .. } => assert!(name.ends_with("_yuan"), "{whole}"),
                ColumnType::Decimal { scale: 4, .. } => assert!(name.ends_with("_kwh"), "{whole}"),
                ColumnType::Timestamp => assert!(name.ends_with("_at"), "{whole}"),
                ColumnType::Date => assert!(name.ends_with("_on"), "{whole}"),
                ColumnType::Float => assert!(matches!(name, "longitude" | "latitude"), "{whole} is a float"),
                ColumnType::Decimal { .. }
                | ColumnType::Uuid
                | ColumnType::Text
                | ColumnType::Int
                | ColumnType::Bool
                | ColumnType::Json => {}
            }
        }
    }
}
