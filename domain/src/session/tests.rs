//! Every rule and every refusal of a session.
