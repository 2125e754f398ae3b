//! Archives as others write them, and what is made of them.

mod archives;
mod building;
mod serving;
mod upstream;
