//! SCCP phones and call managers, scripted.

mod limits;
mod loss;
mod media;
mod passing;
mod registration;
mod stage;
