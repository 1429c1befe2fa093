import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [vue()],
  build: {
    // inline nothing: the content security policy allows only 'self'
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
})
