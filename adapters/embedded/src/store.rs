//! The port's engine over one directory: appends go to the writing thread, reads to a few connections of their own.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::log::{
    AppendError, Appended, EventStore, EventType, Expected, Filter, Head, NewEvent, Page, Position, Revision, StoreError, StoredEvent,
    StreamId, check_append,
};
use domain::recorded::{RecordedLog, check_recorded, judge_recorded};
use tokio::sync::watch;

use crate::database::{LOG, LOG_KIND, make_for_owner, open_writing};
use crate::error::{OpenError, store_error};
use crate::lock::WriterLock;
use crate::pool::Pool;
use crate::reader::{Info, Reader};
use crate::recent::Recent;
use crate::verify::check_tail;
use crate::writer::Writer;

/// How often a reader beside another process's writer looks whether there is more.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How a store is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The file never grows above this, as if the disk were full: for tests of a full disk.
    pub bytes_max: Option<u64>,
}

/// The embedded event store: a directory with the log in it.
#[derive(Debug)]
pub struct EmbeddedStore {
    path: PathBuf,
    // Dropped in this order: readers, the writer with what it has queued, and only then the lock.
    readers: Pool,
    writing: Option<Writing>,
}

#[derive(Debug)]
struct Writing {
    writer: Writer,
    head: watch::Receiver<u64>,
    recent: Arc<Recent>,
    _lock: WriterLock,
}

impl EmbeddedStore {
    /// Opens the store in this directory as its one writing process, creating it when it is not there.
    ///
    /// # Errors
    /// When another process writes it, when the end of the log is damaged, or when it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<EmbeddedStore, OpenError> {
        EmbeddedStore::open_with(path, Options::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// As [`EmbeddedStore::open`].
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<EmbeddedStore, OpenError> {
        let path = path.as_ref().to_owned();
        create_directory(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
        let lock = WriterLock::take(&path)?;
        make_for_owner(&path.join(LOG))?;
        let connection = open_writing(&path.join(LOG), LOG_KIND)?;
        connection.set_prepared_statement_cache_capacity(32);
        if let Some(bytes_max) = options.bytes_max {
            connection.execute_batch(&format!("PRAGMA max_page_count = {}", bytes_max / 4_096)).map_err(store_error)?;
        }
        check_tail(&connection)?;
        let readers = Pool::open(path.clone())?;
        let (bump, head) = watch::channel(0);
        let recent = Arc::new(Recent::default());
        let writer = Writer::start(connection, bump, Arc::clone(&recent))?;
        Ok(EmbeddedStore { path, readers, writing: Some(Writing { writer, head, recent, _lock: lock }) })
    }

    /// Opens the store in this directory for reading, beside whoever writes it.
    ///
    /// # Errors
    /// When there is no store, or it cannot be opened.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<EmbeddedStore, OpenError> {
        let path = path.as_ref().to_owned();
        let readers = Pool::open(path.clone())?;
        Ok(EmbeddedStore { path, readers, writing: None })
    }

    /// Whether there is a store in this directory, for a command that must not make one: a name mistyped would be a ledger with nothing in it.
    ///
    /// # Errors
    /// When there is none.
    pub fn must_be_in(path: &Path) -> Result<(), OpenError> {
        if path.join(LOG).exists() { Ok(()) } else { Err(OpenError::Missing { path: path.to_owned() }) }
    }

    /// The store's directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this process writes it.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// A reader of its own, for a thread that scans the log.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn reader(&self) -> Result<Reader, OpenError> {
        Reader::open(&self.path)
    }

    /// What there is.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn info(&self) -> Result<Info, StoreError> {
        self.readers.read(|reader| reader.info()).await
    }
}

/// A directory whose name would be lost in a power cut would take what is in it along.
fn create_directory(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

#[async_trait]
impl RecordedLog for EmbeddedStore {
    async fn append_as_recorded(&self, events: Vec<StoredEvent>) -> Result<(), AppendError> {
        let Some(writing) = &self.writing else { return Err(StoreError::ReadOnly.into()) };
        let (stream, expected) = check_recorded(&events)?;
        let appended = writing.writer.append_as_recorded(&stream, expected, events.clone()).await?;
        if appended.repeated {
            // A repeat of an append may have another time; here it has to be the same.
            let there = self.read_stream(&stream, expected.next(), events.len()).await?;
            return judge_recorded(expected, Some(appended.revision), &events, &there);
        }
        Ok(())
    }
}

#[async_trait]
impl EventStore for EmbeddedStore {
    async fn append(&self, stream: &StreamId, expected: Expected, events: Vec<NewEvent>) -> Result<Appended, AppendError> {
        let Some(writing) = &self.writing else { return Err(StoreError::ReadOnly.into()) };
        check_append(stream, &events)?;
        writing.writer.append(stream, expected, events).await
    }

    async fn read_stream(&self, stream: &StreamId, from: Revision, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        let stream = stream.clone();
        self.readers.read(move |reader| reader.stream(&stream, from, limit)).await
    }

    async fn read_all(&self, after: Position, filter: &Filter, limit: usize) -> Result<Page, StoreError> {
        if let Some(writing) = &self.writing {
            let head = *writing.head.borrow();
            if after.0 >= head {
                return Ok(Page { events: Vec::new(), scanned_to: after });
            }
            if let Some(page) = writing.recent.page(after, head, filter, limit.max(1)) {
                return Ok(page);
            }
        }
        let filter = filter.clone();
        self.readers.read(move |reader| reader.scan(after, &filter, limit)).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        match &self.writing {
            Some(writing) => {
                let events = *writing.head.borrow();
                Ok(Head { position: Position(events), events })
            }
            None => self.readers.read(|reader| reader.head()).await,
        }
    }

    async fn count_types(&self, after: Position, until: Position) -> Result<BTreeMap<EventType, u64>, StoreError> {
        self.readers.read(move |reader| reader.count_types(after, until)).await
    }

    async fn wait_past(&self, position: Position) -> Result<(), StoreError> {
        if let Some(writing) = &self.writing {
            let mut head = writing.head.clone();
            return match head.wait_for(|head| *head > position.0).await {
                Ok(_) => Ok(()),
                Err(_) => Err(StoreError::Unavailable { reason: "the writer has stopped".to_owned() }),
            };
        }
        while self.head().await?.position <= position {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}
