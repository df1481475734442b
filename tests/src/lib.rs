//! Integration tests of chukka, and the lab they run in.
