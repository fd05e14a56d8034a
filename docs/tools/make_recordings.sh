#!/bin/sh
# Makes the recordings of the simulator again: make_recordings.sh [FOLDER]
# Needs espeak-ng and sox. Same versions of both, same bytes: sox neither dithers nor draws anything.
set -eu

folder=${1:-$(dirname "$0")/../../src/adapters/twilio_realtime/sim/sample_speech}

caller="-v en-gb -p 40 -s 175"
agent="-v en-us+f3 -p 55 -s 170"

# 8 kHz, the band of a telephone line, full level less 3 dB, no silence at either end, G.711 µ-law.
utter() { # NAME VOICE TEXT
    # shellcheck disable=SC2086  # a voice is several words
    espeak-ng $2 --stdout "$3" |
        sox -D -t wav - -t wav -e mu-law -b 8 -c 1 -r 8000 "$folder/$1.wav" \
            gain -6 highpass 200 sinc -3400 norm -3 \
            silence 1 0.02 1% reverse silence 1 0.02 1% reverse
}

utter caller_question "$caller" "Could you tell me where my order is, please?"
utter caller_interruption "$caller" "No, wait a moment."
utter caller_goodbye "$caller" "Thanks a lot. Goodbye!"
utter agent_greeting "$agent" "Hello, this is the help desk. How can I help?"
utter agent_answer "$agent" "Your order left the warehouse yesterday. It is on a lorry now, and should be with you tomorrow before noon. If nobody is at home, a neighbour gets it."
utter agent_goodbye "$agent" "Thanks for calling. Goodbye!"
