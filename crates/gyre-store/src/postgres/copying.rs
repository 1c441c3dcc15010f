//! Filling PostgreSQL's tables by `COPY` in its binary format: several times as fast as statements.

use std::sync::Arc;

use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::{ToSql, Type};

use super::{Session, failure};
use crate::StoreError;
use crate::cell::Row;

/// Takes a row.
pub(crate) type Take<'a> = dyn FnMut(&Row) -> Result<(), StoreError> + 'a;

impl Session {
    /// Copies the rows that `rows` gives into `columns` of `table`, and says how many there were.
    pub(crate) fn copy(
        &mut self,
        table: &str,
        columns: &[String],
        rows: impl FnOnce(&mut Take<'_>) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        let columns = columns.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let statement = self.client.prepare(&format!("SELECT {columns} FROM \"{table}\" LIMIT 0"));
        let types: Vec<Type> =
            self.checked(statement)?.columns().iter().map(|column| column.type_().clone()).collect();
        let place = Arc::clone(&self.place);
        let told = |error: postgres::Error| failure(&place, &error);
        let sql = format!("COPY \"{table}\" ({columns}) FROM STDIN BINARY");
        let writer = self.client.copy_in(&sql).map_err(told)?;
        let mut writer = BinaryCopyInWriter::new(writer, &types);
        rows(&mut |row: &Row| {
            let cells: Vec<&(dyn ToSql + Sync)> =
                row.cells().iter().map(|cell| cell as &(dyn ToSql + Sync)).collect();
            writer.write(&cells).map_err(told)
        })?;
        writer.finish().map_err(told)
    }
}
