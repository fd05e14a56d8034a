// G.711 µ-law: one byte for each sample at 8000 Hz, as Media Streams carry it.

export const SAMPLE_RATE = 8000;
export const SILENCE = 0xff;
export const FRAME_SAMPLES = 160; // 20 ms, as Twilio sends them

const BIAS = 132; // G.711: added to the magnitude, so that its top bit gives the segment
const CLIP = 32635;

/** Return the byte of a sample from -1 to 1. */
export function encodeSample(sample) {
  const value = Math.round(Math.max(-1, Math.min(1, sample)) * 32767);
  const sign = value < 0 ? 0x80 : 0;
  const magnitude = Math.min(Math.abs(value), CLIP) + BIAS;
  const segment = 24 - Math.clz32(magnitude);
  const step = (magnitude >> (segment + 3)) & 0x0f;
  return ~(sign | (segment << 4) | step) & 0xff;
}

function decodeByte(byte) {
  const inverted = ~byte & 0xff;
  const segment = (inverted >> 4) & 0x07;
  const magnitude = ((((inverted & 0x0f) << 3) + BIAS) << segment) - BIAS;
  return (inverted & 0x80 ? -magnitude : magnitude) / 32768;
}

const DECODED = Float32Array.from({ length: 256 }, (_, byte) => decodeByte(byte));

/** Return the sample of a byte, from -1 to 1. */
export function decodeSample(byte) {
  return DECODED[byte];
}
