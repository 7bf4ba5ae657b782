//! What one request or one fact does: load, decide, append; and the process managers.
