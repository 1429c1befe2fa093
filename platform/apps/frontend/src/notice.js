// What was just done, in words: shown, and read out.

import { ref } from 'vue'

export const notice = ref('')

export function say(text) {
  notice.value = text
}
