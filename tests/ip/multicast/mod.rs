//! Groups, and what is told the routers about them.

mod groups;
mod queries;
mod support;
