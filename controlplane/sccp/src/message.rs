//! Message ids and their names.

use std::fmt;

/// The id of a message. Unknown ones are frames like any other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u32);

/// Which end sends a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The phone.
    Phone,
    /// The call manager.
    CallManager,
}

macro_rules! messages {
    ($($id:literal $constant:ident $name:literal $sender:ident)*) => {
        impl MessageId {
            $(
                #[doc = concat!("`", $name, "`")]
                pub const $constant: Self = Self($id);
            )*

            /// All messages that have a name here, by rising id.
            pub const NAMED: &[Self] = &[$(Self($id)),*];

            /// The message's usual name, without `Message` at its end.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($id => Some($name),)*
                    _ => None,
                }
            }

            /// Which end sends it; `None` for unknown messages.
            pub fn sender(self) -> Option<Sender> {
                match self.0 {
                    $($id => Some(Sender::$sender),)*
                    _ => None,
                }
            }
        }
    };
}

// Ids with a layout in this crate: sccp 2.6.3 [V]. The others are names for counters and traces only [M].
messages! {
    0x0000 KEEP_ALIVE "KeepAlive" Phone
    0x0001 REGISTER "Register" Phone
    0x0002 IP_PORT "IpPort" Phone
    0x0003 KEYPAD_BUTTON "KeypadButton" Phone
    0x0004 ENBLOC_CALL "EnblocCall" Phone
    0x0005 STIMULUS "Stimulus" Phone
    0x0006 OFF_HOOK "OffHook" Phone
    0x0007 ON_HOOK "OnHook" Phone
    0x0008 HOOK_FLASH "HookFlash" Phone
    0x0009 FORWARD_STAT_REQ "ForwardStatReq" Phone
    0x000A SPEED_DIAL_STAT_REQ "SpeedDialStatReq" Phone
    0x000B LINE_STAT_REQ "LineStatReq" Phone
    0x000C CONFIG_STAT_REQ "ConfigStatReq" Phone
    0x000D TIME_DATE_REQ "TimeDateReq" Phone
    0x000E BUTTON_TEMPLATE_REQ "ButtonTemplateReq" Phone
    0x000F VERSION_REQ "VersionReq" Phone
    0x0010 CAPABILITIES_RES "CapabilitiesRes" Phone
    0x0011 MEDIA_PORT_LIST "MediaPortList" Phone
    0x0012 SERVER_REQ "ServerReq" Phone
    0x0020 ALARM "Alarm" Phone
    0x0021 MULTICAST_MEDIA_RECEPTION_ACK "MulticastMediaReceptionAck" Phone
    0x0022 OPEN_RECEIVE_CHANNEL_ACK "OpenReceiveChannelAck" Phone
    0x0023 CONNECTION_STATISTICS_RES "ConnectionStatisticsRes" Phone
    0x0024 OFF_HOOK_WITH_CGPN "OffHookWithCgpn" Phone
    0x0025 SOFT_KEY_SET_REQ "SoftKeySetReq" Phone
    0x0026 SOFT_KEY_EVENT "SoftKeyEvent" Phone
    0x0027 UNREGISTER "Unregister" Phone
    0x0028 SOFT_KEY_TEMPLATE_REQ "SoftKeyTemplateReq" Phone
    0x0029 REGISTER_TOKEN_REQ "RegisterTokenReq" Phone
    0x002A MEDIA_TRANSMISSION_FAILURE "MediaTransmissionFailure" Phone
    0x002B HEADSET_STATUS "HeadsetStatus" Phone
    0x002C MEDIA_RESOURCE_NOTIFICATION "MediaResourceNotification" Phone
    0x002D REGISTER_AVAILABLE_LINES "RegisterAvailableLines" Phone
    0x002E DEVICE_TO_USER_DATA "DeviceToUserData" Phone
    0x002F DEVICE_TO_USER_DATA_RESPONSE "DeviceToUserDataResponse" Phone
    0x0030 UPDATE_CAPABILITIES "UpdateCapabilities" Phone
    0x0031 OPEN_MULTIMEDIA_RECEIVE_CHANNEL_ACK "OpenMultiMediaReceiveChannelAck" Phone
    0x0033 SERVICE_URL_STAT_REQ "ServiceURLStatReq" Phone
    0x0034 FEATURE_STAT_REQ "FeatureStatReq" Phone
    0x0041 DEVICE_TO_USER_DATA_VERSION1 "DeviceToUserDataVersion1" Phone
    0x0042 DEVICE_TO_USER_DATA_RESPONSE_VERSION1 "DeviceToUserDataResponseVersion1" Phone
    0x0043 UPDATE_CAPABILITIES_V2 "UpdateCapabilitiesV2" Phone
    0x0044 UPDATE_CAPABILITIES_V3 "UpdateCapabilitiesV3" Phone
    0x0045 PORT_RESPONSE "PortResponse" Phone
    0x0046 QOS_RESV_NOTIFY "QoSResvNotify" Phone
    0x0047 QOS_ERROR_NOTIFY "QoSErrorNotify" Phone
    0x0048 SUBSCRIPTION_STAT_REQ "SubscriptionStatReq" Phone
    0x0049 MEDIA_PATH_EVENT "MediaPathEvent" Phone
    0x004A MEDIA_PATH_CAPABILITY "MediaPathCapability" Phone
    0x004C MWI_NOTIFICATION "MwiNotification" Phone
    0x0081 REGISTER_ACK "RegisterAck" CallManager
    0x0082 START_TONE "StartTone" CallManager
    0x0083 STOP_TONE "StopTone" CallManager
    0x0085 SET_RINGER "SetRinger" CallManager
    0x0086 SET_LAMP "SetLamp" CallManager
    0x0087 SET_HOOK_FLASH_DETECT "SetHookFlashDetect" CallManager
    0x0088 SET_SPEAKER_MODE "SetSpeakerMode" CallManager
    0x0089 SET_MICRO_MODE "SetMicroMode" CallManager
    0x008A START_MEDIA_TRANSMISSION "StartMediaTransmission" CallManager
    0x008B STOP_MEDIA_TRANSMISSION "StopMediaTransmission" CallManager
    0x008F CALL_INFO "CallInfo" CallManager
    0x0090 FORWARD_STAT "ForwardStat" CallManager
    0x0091 SPEED_DIAL_STAT "SpeedDialStat" CallManager
    0x0092 LINE_STAT "LineStat" CallManager
    0x0093 CONFIG_STAT "ConfigStat" CallManager
    0x0094 DEFINE_TIME_DATE "DefineTimeDate" CallManager
    0x0095 START_SESSION_TRANSMISSION "StartSessionTransmission" CallManager
    0x0096 STOP_SESSION_TRANSMISSION "StopSessionTransmission" CallManager
    0x0097 BUTTON_TEMPLATE "ButtonTemplate" CallManager
    0x0098 VERSION "Version" CallManager
    0x0099 DISPLAY_TEXT "DisplayText" CallManager
    0x009A CLEAR_DISPLAY "ClearDisplay" CallManager
    0x009B CAPABILITIES_REQ "CapabilitiesReq" CallManager
    0x009D REGISTER_REJECT "RegisterReject" CallManager
    0x009E SERVER_RES "ServerRes" CallManager
    0x009F RESET "Reset" CallManager
    0x0100 KEEP_ALIVE_ACK "KeepAliveAck" CallManager
    0x0101 START_MULTICAST_MEDIA_RECEPTION "StartMulticastMediaReception" CallManager
    0x0102 START_MULTICAST_MEDIA_TRANSMISSION "StartMulticastMediaTransmission" CallManager
    0x0103 STOP_MULTICAST_MEDIA_RECEPTION "StopMulticastMediaReception" CallManager
    0x0104 STOP_MULTICAST_MEDIA_TRANSMISSION "StopMulticastMediaTransmission" CallManager
    0x0105 OPEN_RECEIVE_CHANNEL "OpenReceiveChannel" CallManager
    0x0106 CLOSE_RECEIVE_CHANNEL "CloseReceiveChannel" CallManager
    0x0107 CONNECTION_STATISTICS_REQ "ConnectionStatisticsReq" CallManager
    0x0108 SOFT_KEY_TEMPLATE_RES "SoftKeyTemplateRes" CallManager
    0x0109 SOFT_KEY_SET_RES "SoftKeySetRes" CallManager
    0x0110 SELECT_SOFT_KEYS "SelectSoftKeys" CallManager
    0x0111 CALL_STATE "CallState" CallManager
    0x0112 DISPLAY_PROMPT_STATUS "DisplayPromptStatus" CallManager
    0x0113 CLEAR_PROMPT_STATUS "ClearPromptStatus" CallManager
    0x0114 DISPLAY_NOTIFY "DisplayNotify" CallManager
    0x0115 CLEAR_NOTIFY "ClearNotify" CallManager
    0x0116 ACTIVATE_CALL_PLANE "ActivateCallPlane" CallManager
    0x0117 DEACTIVATE_CALL_PLANE "DeactivateCallPlane" CallManager
    0x0118 UNREGISTER_ACK "UnregisterAck" CallManager
    0x0119 BACK_SPACE_REQ "BackSpaceReq" CallManager
    0x011A REGISTER_TOKEN_ACK "RegisterTokenAck" CallManager
    0x011B REGISTER_TOKEN_REJECT "RegisterTokenReject" CallManager
    0x011C START_MEDIA_FAILURE_DETECTION "StartMediaFailureDetection" CallManager
    0x011D DIALED_NUMBER "DialedNumber" CallManager
    0x011E USER_TO_DEVICE_DATA "UserToDeviceData" CallManager
    0x011F FEATURE_STAT "FeatureStat" CallManager
    0x0120 DISPLAY_PRI_NOTIFY "DisplayPriNotify" CallManager
    0x0121 CLEAR_PRI_NOTIFY "ClearPriNotify" CallManager
    0x0122 START_ANNOUNCEMENT "StartAnnouncement" CallManager
    0x0123 STOP_ANNOUNCEMENT "StopAnnouncement" CallManager
    0x0124 ANNOUNCEMENT_FINISH "AnnouncementFinish" CallManager
    0x0127 NOTIFY_DTMF_TONE "NotifyDtmfTone" CallManager
    0x0128 SEND_DTMF_TONE "SendDtmfTone" CallManager
    0x0129 SUBSCRIBE_DTMF_PAYLOAD_REQ "SubscribeDtmfPayloadReq" CallManager
    0x012A SUBSCRIBE_DTMF_PAYLOAD_RES "SubscribeDtmfPayloadRes" Phone
    0x012B SUBSCRIBE_DTMF_PAYLOAD_ERR "SubscribeDtmfPayloadErr" Phone
    0x012C UNSUBSCRIBE_DTMF_PAYLOAD_REQ "UnSubscribeDtmfPayloadReq" CallManager
    0x012D UNSUBSCRIBE_DTMF_PAYLOAD_RES "UnSubscribeDtmfPayloadRes" Phone
    0x012E UNSUBSCRIBE_DTMF_PAYLOAD_ERR "UnSubscribeDtmfPayloadErr" Phone
    0x012F SERVICE_URL_STAT "ServiceURLStat" CallManager
    0x0130 CALL_SELECT_STAT "CallSelectStat" CallManager
    0x0131 OPEN_MULTIMEDIA_RECEIVE_CHANNEL "OpenMultiMediaReceiveChannel" CallManager
    0x0132 START_MULTIMEDIA_TRANSMISSION "StartMultiMediaTransmission" CallManager
    0x0133 STOP_MULTIMEDIA_TRANSMISSION "StopMultiMediaTransmission" CallManager
    0x0134 MISCELLANEOUS_COMMAND "MiscellaneousCommand" CallManager
    0x0135 FLOW_CONTROL_COMMAND "FlowControlCommand" CallManager
    0x0136 CLOSE_MULTIMEDIA_RECEIVE_CHANNEL "CloseMultiMediaReceiveChannel" CallManager
    0x013F USER_TO_DEVICE_DATA_VERSION1 "UserToDeviceDataVersion1" CallManager
    0x0142 CONFIG_STAT_DYNAMIC "ConfigStatDynamic" CallManager
    0x0143 DISPLAY_DYNAMIC_NOTIFY "DisplayDynamicNotify" CallManager
    0x0144 DISPLAY_DYNAMIC_PRI_NOTIFY "DisplayDynamicPriNotify" CallManager
    0x0145 DISPLAY_DYNAMIC_PROMPT_STATUS "DisplayDynamicPromptStatus" CallManager
    0x0146 FEATURE_STAT_DYNAMIC "FeatureStatDynamic" CallManager
    0x0147 LINE_STAT_DYNAMIC "LineStatDynamic" CallManager
    0x0148 SERVICE_URL_STAT_DYNAMIC "ServiceURLStatDynamic" CallManager
    0x0149 SPEED_DIAL_STAT_DYNAMIC "SpeedDialStatDynamic" CallManager
    0x014A CALL_INFO_DYNAMIC "CallInfoDynamic" CallManager
    0x014B PORT_REQUEST "PortRequest" CallManager
    0x014C PORT_CLOSE "PortClose" CallManager
    0x014D QOS_LISTEN "QoSListen" CallManager
    0x014E QOS_PATH "QoSPath" CallManager
    0x014F QOS_TEARDOWN "QoSTeardown" CallManager
    0x0150 UPDATE_DSCP "UpdateDSCP" CallManager
    0x0151 QOS_MODIFY "QoSModify" CallManager
    0x0152 SUBSCRIPTION_STAT "SubscriptionStat" CallManager
    0x0153 NOTIFICATION "Notification" CallManager
    0x0154 START_MEDIA_TRANSMISSION_ACK "StartMediaTransmissionAck" Phone
    0x0155 START_MULTIMEDIA_TRANSMISSION_ACK "StartMultiMediaTransmissionAck" Phone
    0x0156 CALL_HISTORY_INFO "CallHistoryInfo" CallManager
    0x0157 LOCATION_INFO "LocationInfo" Phone
    0x0158 MWI_RESPONSE "MwiResponse" CallManager
    0x0159 EXTENSION_DEVICE_CAPS "ExtensionDeviceCaps" Phone
    0x015A XML_ALARM "XMLAlarm" Phone
    0x8000 SPCP_REGISTER_TOKEN_REQ "SPCPRegisterTokenReq" Phone
    0x8100 SPCP_REGISTER_TOKEN_ACK "SPCPRegisterTokenAck" CallManager
    0x8101 SPCP_REGISTER_TOKEN_REJECT "SPCPRegisterTokenReject" CallManager
}

impl MessageId {
    /// Whether the message carries addresses or ports in places that are not known, so that letting it pass would show the
    /// inside outside: the QoS family and the list of media ports (sccp 2.6.3; phones in the field do not use them [I]).
    pub fn carries_addresses_unread(self) -> bool {
        let qos = [
            Self::QOS_RESV_NOTIFY,
            Self::QOS_ERROR_NOTIFY,
            Self::QOS_LISTEN,
            Self::QOS_PATH,
            Self::QOS_TEARDOWN,
            Self::UPDATE_DSCP,
            Self::QOS_MODIFY,
        ];
        qos.contains(&self) || self == Self::MEDIA_PORT_LIST
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "message {:#06x}", self.0),
        }
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
