// What was just done, in words. The page shows it, and screen readers announce it.

import { ref } from 'vue'

export const notice = ref('')

export function say(text) {
  notice.value = text
}
