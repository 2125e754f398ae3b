//! Archives as others write them, and what is made of them.

mod serving;
