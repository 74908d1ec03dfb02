//! A blocking client for zimaged.
