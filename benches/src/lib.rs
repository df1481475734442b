//! Measurements of chukka against its peers.
