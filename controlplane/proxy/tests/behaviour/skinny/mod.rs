//! SCCP phones and call managers, scripted.

mod adopt;
mod arbitrary;
mod authenticated;
mod indicator;
mod limits;
mod loss;
mod media;
mod passing;
mod ports;
mod registration;
mod relay;
mod shown;
mod stage;
mod storm;
mod survival;
mod unnamed;
