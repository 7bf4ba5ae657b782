//! The messages of the public protocol that the stand-in speaks: streams, gossip and server features, as far as they are used.

use std::collections::HashMap;

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub struct Uuid {
    #[prost(oneof = "uuid::Value", tags = "1, 2")]
    pub value: Option<uuid::Value>,
}
pub mod uuid {
    use super::{Message, Oneof};
    #[derive(Clone, PartialEq, Message)]
    pub struct Structured {
        #[prost(int64, tag = "1")]
        pub most: i64,
        #[prost(int64, tag = "2")]
        pub least: i64,
    }
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Value {
        #[prost(message, tag = "1")]
        Structured(Structured),
        #[prost(string, tag = "2")]
        Text(String),
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct StreamIdentifier {
    #[prost(bytes = "vec", tag = "3")]
    pub name: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub struct Position {
    #[prost(uint64, tag = "1")]
    pub commit: u64,
    #[prost(uint64, tag = "2")]
    pub prepare: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct AppendReq {
    #[prost(oneof = "append_req::Content", tags = "1, 2")]
    pub content: Option<append_req::Content>,
}
pub mod append_req {
    use super::{HashMap, Message, Oneof, StreamIdentifier, Uuid};
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Content {
        #[prost(message, tag = "1")]
        Options(Options),
        #[prost(message, tag = "2")]
        Proposed(Proposed),
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Options {
        #[prost(message, optional, tag = "1")]
        pub stream: Option<StreamIdentifier>,
        #[prost(oneof = "Expected", tags = "2, 3, 4, 5")]
        pub expected: Option<Expected>,
    }
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Expected {
        #[prost(uint64, tag = "2")]
        Revision(u64),
        #[prost(message, tag = "3")]
        NoStream(super::Empty),
        #[prost(message, tag = "4")]
        Any(super::Empty),
        #[prost(message, tag = "5")]
        StreamExists(super::Empty),
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Proposed {
        #[prost(message, optional, tag = "1")]
        pub id: Option<Uuid>,
        #[prost(map = "string, string", tag = "2")]
        pub metadata: HashMap<String, String>,
        #[prost(bytes = "vec", tag = "3")]
        pub custom_metadata: Vec<u8>,
        #[prost(bytes = "vec", tag = "4")]
        pub data: Vec<u8>,
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct AppendResp {
    #[prost(oneof = "append_resp::Outcome", tags = "1, 2")]
    pub outcome: Option<append_resp::Outcome>,
}
pub mod append_resp {
    use super::{Empty, Message, Oneof, Position};
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Outcome {
        #[prost(message, tag = "1")]
        Success(Success),
        #[prost(message, tag = "2")]
        Wrong(Wrong),
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Success {
        #[prost(oneof = "Revision", tags = "1, 2")]
        pub revision: Option<Revision>,
        #[prost(oneof = "Place", tags = "3, 4")]
        pub place: Option<Place>,
    }
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Revision {
        #[prost(uint64, tag = "1")]
        Current(u64),
        #[prost(message, tag = "2")]
        NoStream(Empty),
    }
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Place {
        #[prost(message, tag = "3")]
        Position(Position),
        #[prost(message, tag = "4")]
        None(Empty),
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Wrong {
        #[prost(oneof = "Actual", tags = "6, 7")]
        pub actual: Option<Actual>,
        #[prost(oneof = "Believed", tags = "8, 9, 10, 11")]
        pub believed: Option<Believed>,
    }
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Actual {
        #[prost(uint64, tag = "6")]
        Revision(u64),
        #[prost(message, tag = "7")]
        NoStream(Empty),
    }
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Believed {
        #[prost(uint64, tag = "8")]
        Revision(u64),
        #[prost(message, tag = "9")]
        Any(Empty),
        #[prost(message, tag = "10")]
        StreamExists(Empty),
        #[prost(message, tag = "11")]
        NoStream(Empty),
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct ReadReq {
    #[prost(message, optional, tag = "1")]
    pub options: Option<read_req::Options>,
}
pub mod read_req {
    use super::{Empty, Message, Oneof, Position, StreamIdentifier};
    #[derive(Clone, PartialEq, Message)]
    pub struct Options {
        #[prost(oneof = "Of", tags = "1, 2")]
        pub of: Option<Of>,
        #[prost(int32, tag = "3")]
        pub direction: i32,
        #[prost(bool, tag = "4")]
        pub resolve_links: bool,
        #[prost(oneof = "Count", tags = "5, 6")]
        pub count: Option<Count>,
        #[prost(oneof = "Filtered", tags = "7, 8")]
        pub filtered: Option<Filtered>,
    }
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Of {
        #[prost(message, tag = "1")]
        Stream(StreamOptions),
        #[prost(message, tag = "2")]
        All(AllOptions),
    }
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Count {
        #[prost(uint64, tag = "5")]
        Events(u64),
        #[prost(message, tag = "6")]
        Subscription(Empty),
    }
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Filtered {
        #[prost(message, tag = "7")]
        By(Filter),
        #[prost(message, tag = "8")]
        Not(Empty),
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Filter {
        #[prost(oneof = "On", tags = "1, 2")]
        pub on: Option<On>,
        #[prost(uint32, optional, tag = "3")]
        pub window: Option<u32>,
    }
    #[derive(Clone, PartialEq, Oneof)]
    pub enum On {
        #[prost(message, tag = "1")]
        Stream(Expression),
        #[prost(message, tag = "2")]
        EventType(Expression),
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Expression {
        #[prost(string, tag = "1")]
        pub regex: String,
        #[prost(string, repeated, tag = "2")]
        pub prefix: Vec<String>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct StreamOptions {
        #[prost(message, optional, tag = "1")]
        pub stream: Option<StreamIdentifier>,
        #[prost(oneof = "Revision", tags = "2, 3, 4")]
        pub revision: Option<Revision>,
    }
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Revision {
        #[prost(uint64, tag = "2")]
        At(u64),
        #[prost(message, tag = "3")]
        Start(Empty),
        #[prost(message, tag = "4")]
        End(Empty),
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct AllOptions {
        #[prost(oneof = "Place", tags = "1, 2, 3")]
        pub place: Option<Place>,
    }
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Place {
        #[prost(message, tag = "1")]
        At(Position),
        #[prost(message, tag = "2")]
        Start(Empty),
        #[prost(message, tag = "3")]
        End(Empty),
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct ReadResp {
    #[prost(oneof = "read_resp::Content", tags = "1, 2, 3, 4")]
    pub content: Option<read_resp::Content>,
}
pub mod read_resp {
    use super::{HashMap, Message, Oneof, Position, StreamIdentifier, Uuid};
    #[derive(Clone, PartialEq, Oneof)]
    pub enum Content {
        #[prost(message, tag = "1")]
        Event(ReadEvent),
        #[prost(message, tag = "2")]
        Confirmation(Confirmation),
        #[prost(message, tag = "3")]
        Checkpoint(Position),
        #[prost(message, tag = "4")]
        NotFound(NotFound),
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct ReadEvent {
        #[prost(message, optional, tag = "1")]
        pub event: Option<RecordedEvent>,
        #[prost(uint64, optional, tag = "3")]
        pub commit: Option<u64>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct RecordedEvent {
        #[prost(message, optional, tag = "1")]
        pub id: Option<Uuid>,
        #[prost(message, optional, tag = "2")]
        pub stream: Option<StreamIdentifier>,
        #[prost(uint64, tag = "3")]
        pub revision: u64,
        #[prost(uint64, tag = "4")]
        pub prepare: u64,
        #[prost(uint64, tag = "5")]
        pub commit: u64,
        #[prost(map = "string, string", tag = "6")]
        pub metadata: HashMap<String, String>,
        #[prost(bytes = "vec", tag = "7")]
        pub custom_metadata: Vec<u8>,
        #[prost(bytes = "vec", tag = "8")]
        pub data: Vec<u8>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct Confirmation {
        #[prost(string, tag = "1")]
        pub id: String,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct NotFound {
        #[prost(message, optional, tag = "1")]
        pub stream: Option<StreamIdentifier>,
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct ClusterInfo {
    #[prost(message, repeated, tag = "1")]
    pub members: Vec<MemberInfo>,
}
#[derive(Clone, PartialEq, Message)]
pub struct MemberInfo {
    #[prost(message, optional, tag = "1")]
    pub instance_id: Option<Uuid>,
    #[prost(int64, tag = "2")]
    pub time_stamp: i64,
    #[prost(int32, tag = "3")]
    pub state: i32,
    #[prost(bool, tag = "4")]
    pub is_alive: bool,
    #[prost(message, optional, tag = "5")]
    pub end_point: Option<EndPoint>,
}
#[derive(Clone, PartialEq, Message)]
pub struct EndPoint {
    #[prost(string, tag = "1")]
    pub address: String,
    #[prost(uint32, tag = "2")]
    pub port: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct SupportedMethods {
    #[prost(message, repeated, tag = "1")]
    pub methods: Vec<SupportedMethod>,
    #[prost(string, tag = "2")]
    pub version: String,
}
#[derive(Clone, PartialEq, Message)]
pub struct SupportedMethod {
    #[prost(string, tag = "1")]
    pub method: String,
    #[prost(string, tag = "2")]
    pub service: String,
    #[prost(string, repeated, tag = "3")]
    pub features: Vec<String>,
}
