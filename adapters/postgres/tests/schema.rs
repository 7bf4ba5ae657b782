//! The tables that the row types make are the ones that are committed.

use std::path::Path;

use read_models::schema::first_build;

#[test]
fn the_committed_tables_are_the_ones_that_the_row_types_make() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/sql/read_models.sql");
    let head = "-- Made from the projections' row types by a test of adapters/postgres; UPDATE_GOLDEN=1 writes it anew. Do not edit.\n\
                -- Each build has tables like these, with its own number; a view in schema \"read\" shows the one that serves.\n";
    let mut sql = head.to_owned();
    for projection in projections::all() {
        let definition = projection.definition();
        sql.push_str(&format!("\n-- {}, version {}, from: {}\n", definition.name, definition.version, definition.handles.join(" ")));
        sql.push_str(&first_build(definition.table));
    }
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        std::fs::write(&path, &sql).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == sql, "{} is not what the row types make; run with UPDATE_GOLDEN=1 and look at the difference", path.display());
}
