//! Who is told of events once a view holds them. Nothing depends on it: it is for those who watch.

use std::time::Duration;

use domain::event::Event;
use domain::log::{EventType, Recorded};

/// Is told what was committed. It must neither block nor fail.
pub trait Observer: std::fmt::Debug + Send + Sync {
    /// A view holds these events now.
    fn applied(&self, applied: Applied<'_>);
}

/// Events that a view holds, from one commit.
pub struct Applied<'a> {
    /// The projection's name.
    pub projection: &'static str,
    /// The build that was written on.
    pub build: i64,
    /// From when they were folded until they were committed.
    pub took: Duration,
    /// Those that it handles, in order, with their stored names.
    pub events: &'a mut dyn Iterator<Item = (&'a EventType, &'a Recorded<Event>)>,
}
