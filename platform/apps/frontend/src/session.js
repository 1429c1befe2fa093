// Who is signed in. The API decides what a role may do; here the role only hides buttons.

import { computed, reactive } from 'vue'

export const session = reactive({ me: null, expired: false })

export const mayWrite = computed(() => ['developer', 'admin'].includes(session.me?.role))
export const mayAudit = computed(() => session.me?.role === 'admin')
