"""Generated from rapide/v1/predict.proto by scripts/protos; do not edit."""

from rapide.proto.pool import add_file, message_class

DESCRIPTOR = add_file(
    b'\n\x17rapide/v1/predict.proto\x12\trapide.v1"\xe1\x01\n\x0ePredictRequest\x12\r\n\x05model'
    b'\x18\x01 \x01(\t\x12\x0f\n\x07version\x18\x02 \x01(\t\x12\r\n\x05label\x18\x03 \x01(\t\x12\x10\n\x08user_key\x18\x04 \x01(\t\x12\x12\n\nrequ'
    b'est_id\x18\x05 \x01(\t\x127\n\x07columns\x18\x06 \x03(\x0b2&.rapide.v1.PredictRequest.Columns'
    b'Entry\x1aA\n\x0cColumnsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12 \n\x05value\x18\x02 \x01(\x0b2\x11.rapide.v1.Co'
    b'lumn:\x028\x01"\xd1\x01\n\x0fPredictResponse\x12\r\n\x05model\x18\x01 \x01(\t\x12\x0f\n\x07version\x18\x02 \x01(\t\x12\r\n\x05'
    b"label\x18\x03 \x01(\t\x12\x12\n\nrequest_id\x18\x04 \x01(\t\x128\n\x07columns\x18\x05 \x03(\x0b2'.rapide.v1.Pre"
    b'dictResponse.ColumnsEntry\x1aA\n\x0cColumnsEntry\x12\x0b\n\x03key\x18\x01 \x01(\t\x12 \n\x05value\x18'
    b'\x02 \x01(\x0b2\x11.rapide.v1.Column:\x028\x01"\xd7\x01\n\x06Column\x12#\n\x06floats\x18\x01 \x01(\x0b2\x11.rapide'
    b".v1.FloatsH\x00\x12'\n\x08integers\x18\x02 \x01(\x0b2\x13.rapide.v1.IntegersH\x00\x12%\n\x07strings"
    b"\x18\x03 \x01(\x0b2\x12.rapide.v1.StringsH\x00\x12'\n\x08booleans\x18\x04 \x01(\x0b2\x13.rapide.v1.Boole"
    b'ansH\x00\x12\x0f\n\x07missing\x18\x05 \x03(\r\x12\x16\n\x0evalues_per_row\x18\x06 \x01(\rB\x06\n\x04kind"\x18\n\x06Floats'
    b'\x12\x0e\n\x06values\x18\x01 \x03(\x01"\x1a\n\x08Integers\x12\x0e\n\x06values\x18\x01 \x03(\x03"\x19\n\x07Strings\x12\x0e\n\x06value'
    b's\x18\x01 \x03(\t"\x1a\n\x08Booleans\x12\x0e\n\x06values\x18\x01 \x03(\x082R\n\x0ePredictService\x12@\n\x07Predict'
    b'\x12\x19.rapide.v1.PredictRequest\x1a\x1a.rapide.v1.PredictResponseb\x06proto3'
)

PredictRequest = message_class("rapide.v1.PredictRequest", __name__)
PredictResponse = message_class("rapide.v1.PredictResponse", __name__)
Column = message_class("rapide.v1.Column", __name__)
Floats = message_class("rapide.v1.Floats", __name__)
Integers = message_class("rapide.v1.Integers", __name__)
Strings = message_class("rapide.v1.Strings", __name__)
Booleans = message_class("rapide.v1.Booleans", __name__)
