//! The decisions of everynode: a pure state machine from facts to actions.
