//! What a small cluster needs beside the controller, and up, which composes it.
