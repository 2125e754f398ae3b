//! Paths of values.

/// Adds a step to the path of a value: a field, or `[index]`. Gives the length that the path had.
pub fn enter(path: &mut String, step: &str) -> usize {
    let length = path.len();
    if length > 0 && !step.starts_with('[') {
        path.push('.');
    }
    path.push_str(step);
    length
}
