// Band-limited resampling of a stream, one sample at a time, between any two rates.

const HALF_TAPS = 16; // samples of the lower rate on each side: 2 ms of delay at 8000 Hz
const CUTOFF = 0.9; // of half the lower rate: what is above is removed

/**
 * A resampler: `push` a sample while `missing` is not 0, then take the `next`.
 *
 *     for (const sample of input) {
 *       resampler.push(sample);
 *       while (!resampler.missing) output(resampler.next());
 *     }
 *
 * Rates are whole numbers of samples a second. The position of each sample is kept as a fraction of
 * whole numbers, so input and output never drift apart.
 */
export class Resampler {
  constructor(fromRate, toRate) {
    const divisor = greatestCommonDivisor(fromRate, toRate);
    this.step = fromRate / divisor;
    this.phases = toRate / divisor;
    this.half = Math.ceil(HALF_TAPS * Math.max(1, fromRate / toRate));
    this.taps = makeTaps(this.phases, this.half, Math.min(1, toRate / fromRate));
    this.size = 2 * this.half;
    this.window = new Float32Array(2 * this.size); // each sample twice, so that it is contiguous
    this.at = 0;
    this.phase = 0;
    this.missing = this.half + 1;
  }

  push(sample) {
    this.window[this.at] = this.window[this.at + this.size] = sample;
    this.at = (this.at + 1) % this.size;
    this.missing -= 1;
  }

  next() {
    const taps = this.taps[this.phase];
    let sum = 0;
    for (let tap = 0; tap < this.size; tap += 1) sum += taps[tap] * this.window[this.at + tap];
    this.phase += this.step;
    while (this.phase >= this.phases) {
      this.phase -= this.phases;
      this.missing += 1;
    }
    return sum;
  }
}

function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** Return a windowed sinc for each phase, of a sum of 1, so that a constant stays what it is. */
function makeTaps(phases, half, ratio) {
  const cutoff = CUTOFF * ratio;
  return Array.from({ length: phases }, (_, phase) => {
    const taps = Float32Array.from({ length: 2 * half }, (_, tap) => {
      const distance = tap - half + 1 - phase / phases;
      const angle = (Math.PI * distance) / half;
      const blackman = 0.42 + 0.5 * Math.cos(angle) + 0.08 * Math.cos(2 * angle);
      return sinc(cutoff * distance) * Math.max(0, blackman);
    });
    const sum = taps.reduce((total, tap) => total + tap, 0);
    return taps.map((tap) => tap / sum);
  });
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}
