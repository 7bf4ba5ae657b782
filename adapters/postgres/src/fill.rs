//! A thread's own connection that fills a build: binary `COPY`, and the note that the part is filled, in one transaction.

use postgres::Client;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::Type;
use projections::fold::{Definition, Part};
use projections::port::{Build, ReadStoreError};
use projections::rebuild::port::Filler;
use projections::table::Table;
use projections::value::Value;

use crate::cells::Cell;
use crate::error::database;
use crate::server::Server;
use crate::store::{bigint, names, wire_type};

pub(crate) struct CopyFiller {
    client: Client,
    table: &'static Table,
    name: String,
    number: i64,
    copy: String,
    types: Vec<Type>,
}

impl CopyFiller {
    /// Connects. Blocks.
    pub(crate) fn connect(server: &Server, definition: &Definition, build: &Build) -> Result<CopyFiller, ReadStoreError> {
        // What is not on disk after a crash of the server is not noted as filled either.
        let server = server.with_options("-c synchronous_commit=off -c statement_timeout=0 -c timezone=UTC -c client_min_messages=warning");
        let client = postgres::Config::from(server.config).connect(server.tls).map_err(|error| database(&error))?;
        let table = definition.table;
        Ok(CopyFiller {
            client,
            table,
            name: build.name.clone(),
            number: build.number,
            copy: format!("COPY build.{} ({}) FROM STDIN BINARY", build.table_name(), names(table.columns)),
            types: table.columns.iter().map(|column| wire_type(column.column_type)).collect(),
        })
    }

    fn copy(&mut self, part: &Part, rows: &mut dyn Iterator<Item = Vec<Value>>) -> Result<u64, postgres::Error> {
        let mut transaction = self.client.transaction()?;
        let mut writer = BinaryCopyInWriter::new(transaction.copy_in(&self.copy)?, &self.types);
        let width = self.table.columns.len();
        for row in rows {
            assert_eq!(row.len(), width, "a row has the cells of its table");
            writer.write_raw(row.iter().map(Cell))?;
        }
        let written = writer.finish()?;
        transaction.execute(
            "INSERT INTO build.filled (name, number, first, beyond, rows) VALUES ($1, $2, $3, $4, $5)",
            &[&self.name, &self.number, &bigint(part.start), &bigint(part.end), &bigint(written)],
        )?;
        transaction.commit()?;
        Ok(written)
    }
}

impl Filler for CopyFiller {
    fn fill(&mut self, part: &Part, rows: &mut dyn Iterator<Item = Vec<Value>>) -> Result<u64, ReadStoreError> {
        self.copy(part, rows).map_err(|error| database(&error))
    }
}
