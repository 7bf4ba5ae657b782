//! Messages on the wire. tonic's own codec wants another version of prost.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Answers go out, questions come in.
#[derive(Debug)]
pub struct Messages<Answer, Question>(PhantomData<(Answer, Question)>);

impl<Answer, Question> Default for Messages<Answer, Question> {
    fn default() -> Self {
        Messages(PhantomData)
    }
}

impl<Answer, Question> Codec for Messages<Answer, Question>
where
    Answer: Message + Send + 'static,
    Question: Message + Default + Send + 'static,
{
    type Encode = Answer;
    type Decode = Question;
    type Encoder = Out<Answer>;
    type Decoder = In<Question>;

    fn encoder(&mut self) -> Out<Answer> {
        Out(PhantomData)
    }

    fn decoder(&mut self) -> In<Question> {
        In(PhantomData)
    }
}

#[derive(Debug)]
pub struct Out<T>(PhantomData<T>);

impl<T: Message> Encoder for Out<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }
}

#[derive(Debug)]
pub struct In<T>(PhantomData<T>);

impl<T: Message + Default> Decoder for In<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        T::decode(buffer).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}
