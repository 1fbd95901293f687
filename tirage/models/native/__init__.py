"""Native tool calls over token ids: a model's own way to write calls and to read results, exact to the token and trainable."""

from tirage.models.native.form import NativeForm as NativeForm
from tirage.models.native.form import open_form as open_form
